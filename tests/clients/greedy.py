#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Greedy answers of the server are those of `ingot ask --temperature 0`, token for token.

Usage: greedy.py INGOT DATA WORK. Float and every W8A8 format, one request at a time and sixteen at once, prefix caching on and
off, too few pages for sixteen, texts, one picture, two pictures, long answers; streamed and whole. The trained model answers in few tokens; the long
answers come from random weights, where the likeliest token hangs on the last bits of a sum. Needs Python only.
"""
import concurrent.futures
import json
import pathlib

from served import Checks, Paths, Served, data_url

QUESTIONS = ["What is this?", "What is the background color?", "How many shapes are there?", "Describe the picture.",
             "What color is the circle?", "What number is shown?"]


# Every format that `ingot quantize` writes, and the variants that compute differently.
TARGETS = {
    "ascend": ["--target", "ascend"],
    "ascend-v0": ["--target", "ascend-v0"],
    "golden-stick-310": ["--target", "golden-stick-310"],
    "golden-stick-910": ["--target", "golden-stick-910"],
    "vector scales": ["--target", "golden-stick-310", "--vector-scales"],
    "compressed-tensors": ["--target", "compressed-tensors"],
    "compressed-tensors static": ["--target", "compressed-tensors", "--activations", "static"],
}


def cases(paths):
    """(pictures, question, longest answer): a text alone, questions about one picture and about two."""
    pictures = paths.pictures(6)
    list_ = [([], question, 40) for question in QUESTIONS[:3]]
    list_ += [([pictures[i]], QUESTIONS[(i + j) % len(QUESTIONS)], 24 + 8 * j) for i in range(4) for j in range(3)]
    list_ += [([pictures[4], pictures[5]], QUESTIONS[0], 48)]
    return list_


def ask(paths, model, case):
    pictures, question, limit = case
    images = [word for picture in pictures for word in ("--image", picture)]
    told = paths.run("ask", model, *images, question, "--temperature", 0, "--max-tokens", limit, "--json", "--progress", "none")
    told = json.loads(told)
    return told["token_ids"], told["text"], told["usage"]["prompt_tokens"]


def body(case, stream):
    pictures, question, limit = case
    parts = [{"type": "image_url", "image_url": {"url": data_url(picture)}} for picture in pictures]
    parts.append({"type": "text", "text": question})
    request = {"model": "m", "temperature": 0, "max_tokens": limit, "return_token_ids": True, "logprobs": True,
               "messages": [{"role": "user", "content": parts if pictures else question}]}
    if stream:
        request.update(stream=True, stream_options={"include_usage": True})
    return request


def serve_one(served, case, stream):
    """(token ids, text, prompt tokens) as the interface tells them."""
    if not stream:
        answer = served.post("/v1/chat/completions", body(case, False))
        choice = answer["choices"][0]
        assert len(choice["logprobs"]["content"]) in (len(choice["token_ids"]), len(choice["token_ids"]) - 1), choice
        return choice["token_ids"], choice["message"]["content"], answer["usage"]["prompt_tokens"]
    status, _, bytes_ = served.request("POST", "/v1/chat/completions", body(case, True))
    assert status == 200, bytes_[:300]
    events = [line[6:] for line in bytes_.decode().split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]", events[-1]
    chunks = [json.loads(event) for event in events[:-1]]
    tokens, text = [], ""
    for chunk in chunks:
        for choice in chunk["choices"]:
            tokens += choice.get("token_ids") or []
            text += choice["delta"].get("content") or ""
    return tokens, text, chunks[-1]["usage"]["prompt_tokens"]


def without_end(tokens, ends):
    return tokens[:-1] if tokens and tokens[-1] in ends else tokens


def compare(check, paths, name, model, expected, options):
    ends = json.loads((pathlib.Path(model) / "generation_config.json").read_text())["eos_token_id"]
    ends = ends if isinstance(ends, list) else [ends]
    everything = cases(paths)
    with Served(paths, model, "--served-model-name", "m", "--max-num-seqs", 16, "--disable-log-stats", *options, name=name.replace(" ", "_")) as served:
        for workers in (1, 16):
            jobs = [(case, stream) for stream in (False, True) for case in everything] * (1 if workers == 1 else 3)
            with concurrent.futures.ThreadPoolExecutor(workers) as pool:
                answers = list(pool.map(lambda job: serve_one(served, *job), jobs))
            for (case, stream), (tokens, text, prompt) in zip(jobs, answers):
                what = f"{name}, {workers} at once, {'streamed' if stream else 'whole'}, {len(case[0])} pictures, {case[1]!r}"
                want = expected[everything.index(case)]
                check.equal(what + ": tokens", without_end(tokens, ends), without_end(want[0], ends))
                check.equal(what + ": text", text, want[1])
                check.equal(what + ": prompt tokens", prompt, want[2])
        hits = served.metric("vllm:prefix_cache_hits_total")
        check(f"{name}: prefix cache hits", hits == 0 if "--no-enable-prefix-caching" in options else hits > 0, hits)
        if name.startswith("mini") and name.endswith("few pages"):  # answers that outgrow their page
            preempted = served.metric("vllm:num_preemptions_total")
            check(f"{name}: requests made room", preempted > 0, preempted)
        check(f"{name}: idle", served.idle())


def main():
    paths, check = Paths(), Checks()
    random_weights = paths.data / "models/mini-qwen3-vl-untied"
    models = {"tiny float": paths.tiny, "mini float": random_weights}
    for name, model in (("tiny", paths.tiny), ("mini", random_weights)):
        for target, options in TARGETS.items():
            folder = paths.work / name / target.replace(" ", "-")
            models[f"{name} {target}"] = folder
            paths.run("quantize", model, "-o", folder, *options, "--calib", paths.data / "calib64/images", "--max-samples", 8,
                      "--progress", "none")
    for name, model in models.items():
        expected = [ask(paths, model, case) for case in cases(paths)]
        lengths = [len(tokens) for tokens, _, _ in expected]
        if name.startswith("mini"):
            check(f"{name}: long answers", sum(n >= 24 for n in lengths) >= len(lengths) // 2, lengths)
            check(f"{name}: answers differ", len({tuple(tokens) for tokens, _, _ in expected}) > len(expected) // 2)
        roomy = ["--max-model-len", 1024, "--kv-cache-memory-bytes", "24MiB"]
        for caching in ("--enable-prefix-caching", "--no-enable-prefix-caching"):
            compare(check, paths, f"{name} {caching[2:]}", model, expected, [caching, *roomy])
        tight = ["--max-model-len", 256, "--kv-cache-memory-bytes", "300KiB" if name.startswith("mini") else "900KiB"]
        compare(check, paths, f"{name} few pages", model, expected, ["--enable-prefix-caching", *tight])
    check.finish()


if __name__ == "__main__":
    main()
