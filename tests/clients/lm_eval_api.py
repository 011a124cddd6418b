#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lm-evaluation-harness (`local-completions`, `local-chat-completions`) against `ingot serve`.

Usage: lm_eval_api.py INGOT DATA WORK. A multiple-choice task (log-likelihoods by echo), a perplexity task and a task of written
answers, made here, so nothing is downloaded. The log-likelihoods that the harness adds up must be those of the tokens one by one.
"""
import json
import logging
import os

from served import Checks, Paths, Served, skip

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", OPENAI_API_KEY="none", TOKENIZERS_PARALLELISM="false")

CHOICES = """
task: tiny_choices
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{file}"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
target_delimiter: " "
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
ROLLING = """
task: tiny_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{file}"}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{question}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: bits_per_byte}}]
"""
WRITTEN = """
task: tiny_written
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{file}"}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n\\n"], do_sample: false, max_gen_toks: 12}}
metric_list: [{{metric: exact_match}}]
"""
DOCS = [
    {"question": "What color is the circle?", "choices": ["red", "gray", "two squares", "yes"], "label": 0, "answer": "red"},
    {"question": "How many shapes are there in the picture?", "choices": ["1", "2", "not the number 3"], "label": 1, "answer": "2"},
    {"question": "Is the square on the left?", "choices": ["yes", "no"], "label": 0, "answer": "yes"},
    {"question": "What is written in the picture? Überall: 日本", "choices": ["the word", "7", "äöü"], "label": 2, "answer": "7"},
    {"question": "What is the background color?", "choices": ["gray", "black and white"], "label": 0, "answer": "gray"},
]


def score(served, context, continuation):
    """Sum of the log-probabilities of the continuation, each token from a request of its own that ends before it."""
    head = served.post("/tokenize", {"prompt": context, "add_special_tokens": False})["tokens"]
    whole = served.post("/tokenize", {"prompt": context + continuation, "add_special_tokens": False})["tokens"]
    assert whole[:len(head)] == head, "the tasks are made so that the border is one of tokens"
    total, greedy = 0.0, True
    for at in range(len(head), len(whole)):
        answer = served.post("/v1/completions", {"model": "tiny", "prompt": whole[:at], "max_tokens": 1, "temperature": 0,
                                                 "logprobs": 1, "allowed_token_ids": [whole[at]]})
        logprobs = answer["choices"][0]["logprobs"]
        total += logprobs["token_logprobs"][0]
        greedy &= logprobs["token_logprobs"][0] == max(logprobs["top_logprobs"][0].values())
    return total, greedy


def close(a, b):
    return abs(a - b) <= 1e-4 * max(1.0, abs(a))


def likelihoods(check, served, evaluate, manager):
    for batch, concurrent in ((1, 1), (4, 4)):
        results = evaluate("local-completions", ["tiny_choices", "tiny_rolling"], manager,
                           f"base_url={served.url}/v1/completions,model=tiny,num_concurrent={concurrent},max_retries=1", batch)
        right = 0
        for sample in results["samples"]["tiny_choices"]:
            doc, told = sample["doc"], [response[0] for response in sample["resps"]]
            for choice, (logprob, greedy) in zip(doc["choices"], told):
                expected = score(served, doc["question"], " " + choice)
                check(f"batch {batch}: {doc['question']!r} {choice!r}", close(float(logprob), expected[0]),
                      f"{logprob}, one by one {expected[0]}")
                check.equal(f"batch {batch}: {choice!r} greedy", str(greedy), str(expected[1]))
            sums = [float(logprob) for logprob, _ in told]
            right += sums.index(max(sums)) == doc["label"]
        check.equal(f"batch {batch}: accuracy", results["results"]["tiny_choices"]["acc,none"], right / len(DOCS))
        bits = results["results"]["tiny_rolling"]["bits_per_byte,none"]
        check(f"batch {batch}: bits per byte", 0 < bits < 40, bits)


def main():
    try:
        import lm_eval
        from lm_eval.tasks import TaskManager
    except ImportError:
        skip("needs lm_eval (tests/clients/setup --all)")
    logging.disable(logging.WARNING)
    paths, check = Paths(), Checks()
    os.environ.update(HF_HOME=str(paths.work / "hf"))
    documents = paths.work / "documents.jsonl"
    documents.write_text("".join(json.dumps(doc) + "\n" for doc in DOCS))
    for name, text in (("choices", CHOICES), ("rolling", ROLLING), ("written", WRITTEN)):
        (paths.work / f"{name}.yaml").write_text(text.format(file=documents))
    manager = TaskManager(include_path=str(paths.work), include_defaults=False)

    def evaluate(model, tasks, task_manager, arguments, batch=1, **more):
        return lm_eval.simple_evaluate(model=model, model_args=arguments, tasks=tasks, batch_size=batch, task_manager=task_manager,
                                       bootstrap_iters=0, log_samples=True, **more)

    with Served(paths, paths.tiny, "--served-model-name", "tiny", "--max-model-len", 1024, "--kv-cache-memory-bytes", "32MiB",
                "--enable-tokenizer-info-endpoint", "--disable-log-stats") as served:
        likelihoods(check, served, evaluate, manager)
        for model, path, more in (("local-completions", "completions", {}),
                                  ("local-chat-completions", "chat/completions", {"apply_chat_template": True})):
            results = evaluate(model, ["tiny_written"], manager,
                               f"base_url={served.url}/v1/{path},model=tiny,num_concurrent=2,max_retries=1", **more)
            for sample in results["samples"]["tiny_written"]:
                question, said = sample["doc"]["question"], sample["resps"][0][0]
                ask = {"model": "tiny", "temperature": 0, "max_tokens": 12}
                if path == "completions":
                    expected = served.post("/v1/completions", {**ask, "prompt": question})["choices"][0]["text"]
                else:
                    expected = served.post("/v1/chat/completions", {**ask, "messages": [
                        {"role": "user", "content": question}]})["choices"][0]["message"]["content"]
                check.equal(f"{model}: {question!r}", said.strip(), expected.split("\n\n")[0].strip())
        check("idle at the end", served.idle())
    check.finish()


if __name__ == "__main__":
    main()
