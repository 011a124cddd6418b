#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`ingot serve` through openai-python, the client that most programs use.

Usage: openai_python.py INGOT DATA WORK. Conversations with pictures, streams, tools, JSON schemas, log-probabilities, several
answers, completions, errors and their exception classes, cancelled and timed out requests.
"""
import asyncio
import json
import typing

from served import Checks, Paths, Served, data_url, skip

try:
    import openai
    import pydantic
except ImportError:
    skip("needs openai-python (tests/clients/setup)")

check = Checks()
TEXT = [{"role": "user", "content": "What is this?"}]


class Pet(pydantic.BaseModel):
    kind: typing.Literal["cat", "dog"]
    legs: typing.Literal[3, 4]


class GetWeather(pydantic.BaseModel):
    city: typing.Literal["Rome", "Oslo"]
    days: typing.Literal[1, 2, 3]


def about(pictures, question="What is this?"):
    parts = [{"type": "image_url", "image_url": {"url": data_url(p), "detail": "auto"}} for p in pictures]
    return [{"role": "system", "content": "Answer."},
            {"role": "user", "content": parts + [{"type": "text", "text": question}]}]


def raises(name, kind, status, call):
    """The error of `call` must be of this class, with this status; it is returned."""
    try:
        call()
    except openai.APIStatusError as error:
        check(name + ": class", type(error) is kind, type(error))
        check.equal(name + ": status", error.status_code, status)
        return error
    check(name, False, "no error")
    return None


def pictures_and_streams(client, paths):
    chat, greedy = client.chat.completions, {"model": "tiny", "temperature": 0, "max_tokens": 24}
    one, two = paths.pictures(2)
    for name, pictures in (("one picture", [one]), ("two pictures", [one, two]), ("no picture", [])):
        images = [word for picture in pictures for word in ("--image", picture)]
        told = json.loads(paths.run("ask", paths.tiny, *images, "What is this?", "--system", "Answer.", "--temperature", 0,
                                    "--max-tokens", 24, "--json"))
        whole = chat.create(messages=about(pictures), **greedy)
        check.equal(name + ": as `ingot ask` says", whole.choices[0].message.content, told["text"])
        check.equal(name + ": prompt tokens", whole.usage.prompt_tokens, told["usage"]["prompt_tokens"])
        check(name + ": finish_reason", whole.choices[0].finish_reason in ("stop", "length"), whole.choices[0])
        check(name + ": ids", whole.id.startswith("chatcmpl-") and whole.object == "chat.completion" and whole.created > 1e9)
        chunks = list(chat.create(messages=about(pictures), stream=True, stream_options={"include_usage": True}, **greedy))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        check.equal(name + ", streamed: text", text, told["text"])
        check.equal(name + ", streamed: role first", chunks[0].choices[0].delta.role, "assistant")
        check(name + ", streamed: one id", len({c.id for c in chunks}) == 1)
        check(name + ", streamed: usage last", chunks[-1].choices == [] and chunks[-1].usage.model_dump(exclude_none=True)
              == whole.usage.model_dump(exclude_none=True), chunks[-1])
        check(name + ", streamed: no usage before", all(c.usage is None for c in chunks[:-1]))
        check.equal(name + ", streamed: finish_reason", chunks[-2].choices[0].finish_reason, whole.choices[0].finish_reason)
    running = list(chat.create(messages=TEXT, stream=True, extra_body={"ignore_eos": True}, stream_options={
        "include_usage": True, "continuous_usage_stats": True}, **greedy))
    counts = [c.usage.completion_tokens for c in running]
    check("continuous usage", counts == sorted(counts) and counts[-1] == 24, counts)
    without = list(chat.create(messages=TEXT, stream=True, **greedy))
    check("no usage unless asked for", all(c.usage is None and c.choices for c in without))
    with chat.stream(messages=TEXT, **greedy) as stream:  # the helper that gathers events
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    check("stream helper", "content.done" in kinds and final.choices[0].message.content is not None, kinds)


def several_answers(client):
    chat = client.chat.completions
    options = {"model": "tiny", "messages": TEXT, "n": 2, "temperature": 1.0, "seed": 11, "max_tokens": 12,
               "extra_body": {"ignore_eos": True}}
    first = chat.create(**options)
    check.equal("n=2: indices", [c.index for c in first.choices], [0, 1])
    texts = [c.message.content for c in first.choices]
    check("n=2: answers differ", texts[0] != texts[1], texts)
    check.equal("n=2: usage counts both", first.usage.completion_tokens, 24)
    check.equal("n=2: the same seed", [c.message.content for c in chat.create(**options).choices], texts)
    streamed = ["", ""]
    for chunk in chat.create(stream=True, **options):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    check.equal("n=2, streamed", streamed, texts)
    answer = chat.create(model="tiny", messages=TEXT, temperature=0, max_tokens=24, stop=["e", "1"], extra_body={"ignore_eos": True})
    check("stop", answer.choices[0].finish_reason in ("stop", "length") and "e" not in answer.choices[0].message.content)


def log_probabilities(client):
    chat = client.chat.completions
    options = {"model": "tiny", "messages": TEXT, "logprobs": True, "top_logprobs": 3, "temperature": 0, "max_tokens": 6,
               "extra_body": {"ignore_eos": True}}
    whole = chat.create(**options).choices[0]
    tokens = whole.logprobs.content
    check.equal("logprobs: one a token", len(tokens), 6)
    for token in tokens:
        check("logprobs: the chosen one is the likeliest", token.logprob <= 0 and len(token.top_logprobs) == 3
              and token.top_logprobs[0].token == token.token and token.top_logprobs[0].logprob == token.logprob, token)
        check("logprobs: sorted", [t.logprob for t in token.top_logprobs] == sorted((t.logprob for t in token.top_logprobs), reverse=True))
    # Control tokens have a log-probability and no text.
    text = "".join(bytes(t.bytes).decode() for t in tokens if not t.token.startswith("<|"))
    check.equal("logprobs: bytes", text, whole.message.content)
    chunks = list(chat.create(stream=True, **options))
    streamed = [t for c in chunks for choice in c.choices if choice.logprobs for t in choice.logprobs.content]
    check.equal("logprobs, streamed", [(t.token, t.logprob) for t in streamed], [(t.token, t.logprob) for t in tokens])
    biased = chat.create(model="tiny", messages=TEXT, temperature=0, max_tokens=1, logit_bias={"17": 100}, logprobs=True)
    check.equal("logit_bias", biased.choices[0].message.content, "2")


def structured(client):
    chat, options = client.chat.completions, {"model": "tiny", "messages": TEXT, "temperature": 0, "max_tokens": 200}
    parsed = chat.parse(response_format=Pet, **options).choices[0].message.parsed
    check("json_schema, parsed", isinstance(parsed, Pet), parsed)
    with chat.stream(response_format=Pet, **options) as stream:
        for _ in stream:
            pass
        check.equal("json_schema, streamed", stream.get_final_completion().choices[0].message.parsed, parsed)
    free = chat.create(response_format={"type": "json_object"}, **options).choices[0]
    if free.finish_reason == "stop":
        check("json_object", isinstance(json.loads(free.message.content), dict), free)
    else:
        check("json_object: cut off", free.finish_reason == "length" and free.message.content.lstrip().startswith("{"), free)
    raises("a schema that cannot be compiled", openai.BadRequestError, 400, lambda: chat.create(response_format={
        "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}, **options))
    raises("json_schema without a schema", openai.BadRequestError, 400, lambda: chat.create(
        response_format={"type": "json_schema"}, **options))


def gather(chunks):
    """The tool calls of a stream, put together as clients do: by index; names and ids come once."""
    calls, finish = {}, None
    for chunk in chunks:
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for delta in choice.delta.tool_calls or []:
                call = calls.setdefault(delta.index, {"id": None, "name": None, "arguments": "", "pieces": 0})
                if delta.id:
                    check("tools, streamed: the id comes once", call["id"] is None)
                    call["id"] = delta.id
                if delta.function.name:
                    check("tools, streamed: the name comes once", call["name"] is None)
                    call["name"] = delta.function.name
                call["arguments"] += delta.function.arguments or ""
                call["pieces"] += 1
    return [calls[i] for i in sorted(calls)], finish


def tools(client):
    chat = client.chat.completions
    described = [openai.pydantic_function_tool(GetWeather, name="get_weather", description="Weather of a city")]
    options = {"model": "tiny", "messages": TEXT, "tools": described, "temperature": 0, "max_tokens": 200, "parallel_tool_calls": False}
    for name, choice in (("required", "required"), ("named", {"type": "function", "function": {"name": "get_weather"}})):
        whole = chat.create(tool_choice=choice, **options).choices[0]
        call = whole.message.tool_calls[0]
        check.equal(f"tools, {name}: function", call.function.name, "get_weather")
        check(f"tools, {name}: arguments", GetWeather.model_validate_json(call.function.arguments) is not None)
        check.equal(f"tools, {name}: finish_reason", whole.finish_reason, "tool_calls" if name == "required" else "stop")
        calls, finish = gather(chat.create(tool_choice=choice, stream=True, **options))
        check.equal(f"tools, {name}, streamed", [(c["name"], c["arguments"]) for c in calls],
                    [("get_weather", call.function.arguments)])
        check(f"tools, {name}, streamed: in pieces", calls[0]["pieces"] > 3, calls)
        check.equal(f"tools, {name}, streamed: finish_reason", finish, whole.finish_reason)
    # Of its own accord the model would have to write Hermes' tags; a grammar makes it do so, the parser does not know.
    arguments = r'\{"city": "(Rome|Oslo)", "days": [123]\}'
    hermes = r'Let me see\.\n<tool_call>\n\{"name": "get_weather", "arguments": ' + arguments + r'\}\n</tool_call>'
    for count in (1, 2):
        forced = {**options, "parallel_tool_calls": True, "extra_body": {"structured_outputs": {"regex": hermes + (
            "" if count == 1 else hermes[hermes.index(r"\n<tool_call>"):])}}}
        whole = chat.create(tool_choice="auto", **forced).choices[0]
        check.equal(f"tools, auto, {count}: finish_reason", whole.finish_reason, "tool_calls")
        check.equal(f"tools, auto, {count}: text before", (whole.message.content or "").strip(), "Let me see.")
        found = [(c.function.name, json.loads(c.function.arguments)) for c in whole.message.tool_calls]
        check(f"tools, auto, {count}: calls", len(found) == count and all(
            n == "get_weather" and GetWeather.model_validate(a) for n, a in found), found)
        chunks = list(chat.create(tool_choice="auto", stream=True, **forced))
        calls, finish = gather(chunks)
        check.equal(f"tools, auto, {count}, streamed", [(c["name"], json.loads(c["arguments"])) for c in calls], found)
        check.equal(f"tools, auto, {count}, streamed: finish_reason", finish, "tool_calls")
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        check("tools, auto, streamed: no tags in the text", "tool_call" not in text and text.strip() == "Let me see.", text)
    plain = chat.create(tool_choice="auto", **{**options, "max_tokens": 8}).choices[0]
    check("tools, auto: no call", plain.message.tool_calls in (None, []) and plain.finish_reason in ("stop", "length"), plain)
    none = chat.create(tool_choice="none", **{**options, "max_tokens": 8}).choices[0]
    check("tools, none", not none.message.tool_calls, none)
    # The whole round: the call and its answer go back as messages.
    call = chat.create(tool_choice="required", **options).choices[0].message
    back = TEXT + [call.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "sunny"}]
    check("tools, the answer goes back", chat.create(**{**options, "messages": back, "max_tokens": 8}).choices[0].message.content is not None)
    raises("tool_choice without tools", openai.BadRequestError, 400, lambda: chat.create(
        model="tiny", messages=TEXT, tool_choice="required"))
    raises("an unknown function", openai.BadRequestError, 400, lambda: chat.create(
        tool_choice={"type": "function", "function": {"name": "other"}}, **options))


def completions(client, served):
    create = client.completions.create
    answer = create(model="tiny", prompt=["a red", "a blue"], max_tokens=4, logprobs=2, echo=True, temperature=0)
    check.equal("completions: indices", [c.index for c in answer.choices], [0, 1])
    for choice, prompt in zip(answer.choices, ("a red", "a blue")):
        logprobs = choice.logprobs
        check("completions: echo", choice.text.startswith(prompt), choice.text)
        check("completions: no logprob for the first token", logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None)
        check("completions: logprobs", all(p <= 0 for p in logprobs.token_logprobs[1:]), logprobs.token_logprobs)
        check("completions: offsets", logprobs.text_offset[0] == 0 and logprobs.text_offset == sorted(logprobs.text_offset)
              and "".join(logprobs.tokens) == choice.text, logprobs)
        check("completions: the chosen one is among the likeliest", all(
            token in top for token, top in zip(logprobs.tokens[1:], logprobs.top_logprobs[1:])))
    ids = served.post("/tokenize", {"prompt": "a red"})["tokens"]
    by_ids = create(model="tiny", prompt=ids, max_tokens=4, temperature=0).choices[0].text
    check.equal("completions: token ids", by_ids, create(model="tiny", prompt="a red", max_tokens=4, temperature=0).choices[0].text)
    many = create(model="tiny", prompt=[ids, ids], n=2, temperature=1, seed=5, max_tokens=6)
    check.equal("completions: prompts and n", [c.index for c in many.choices], [0, 1, 2, 3])
    scored = create(model="tiny", prompt="a red square", max_tokens=0, echo=True, logprobs=1)
    check("completions: nothing but the prompt", scored.choices[0].text == "a red square" and scored.usage.completion_tokens == 0, scored)
    text = "".join(c.choices[0].text for c in create(model="tiny", prompt="a red", max_tokens=4, temperature=0, stream=True))
    check.equal("completions, streamed", text, by_ids)
    chunks = list(create(model="tiny", prompt="a red", max_tokens=4, temperature=0, stream=True, echo=True, logprobs=1,
                         stream_options={"include_usage": True}))
    check.equal("completions, streamed: echo", "".join(c.choices[0].text for c in chunks if c.choices), "a red" + by_ids)
    check("completions, streamed: usage", chunks[-1].choices == [] and chunks[-1].usage.completion_tokens >= 1, chunks[-1])
    raises("completions: suffix", openai.BadRequestError, 400, lambda: create(model="tiny", prompt="a", suffix="b"))


def refusals(client):
    chat = client.chat.completions
    error = raises("unknown model", openai.NotFoundError, 404, lambda: chat.create(model="other", messages=TEXT))
    check("unknown model: named", "other" in error.message and error.body["type"] == "NotFoundError", error.body)
    error = raises("bad value", openai.BadRequestError, 400, lambda: chat.create(model="tiny", messages=TEXT, top_p=2))
    check.equal("bad value: param", error.param, "top_p")
    check.equal("bad value: code", str(error.code), "400")
    raises("n=2 at temperature 0", openai.BadRequestError, 400, lambda: chat.create(model="tiny", messages=TEXT, n=2, temperature=0))
    raises("bad picture", openai.BadRequestError, 400, lambda: chat.create(model="tiny", messages=[
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]))
    raises("too long", openai.BadRequestError, 400, lambda: chat.create(
        model="tiny", messages=[{"role": "user", "content": "word " * 5000}]))
    raises("too large", openai.APIStatusError, 413, lambda: chat.create(
        model="tiny", messages=[{"role": "user", "content": "word " * 400_000}]))
    raises("no such endpoint", openai.InternalServerError, 501, lambda: client.embeddings.create(model="tiny", input="a"))
    raises("no such endpoint", openai.InternalServerError, 501, lambda: client.responses.create(model="tiny", input="a"))
    stranger = client.with_options(api_key="other")
    error = raises("wrong key", openai.AuthenticationError, 401, lambda: stranger.models.list())
    check("wrong key: not repeated", "other" not in str(error.body), error.body)
    raises("wrong key: chat", openai.AuthenticationError, 401, lambda: stranger.chat.completions.create(model="tiny", messages=TEXT))
    try:
        client.with_options(timeout=0.05).chat.completions.create(model="tiny", messages=TEXT, max_tokens=900, extra_body={"ignore_eos": True})
        check("client timeout", False, "an answer")
    except openai.APITimeoutError:
        check("client timeout", True)


async def many_at_once(url):
    client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="key", max_retries=0)
    ask = dict(model="tiny", messages=TEXT, temperature=0, max_tokens=16)
    answers = await asyncio.gather(*(client.chat.completions.create(**ask) for _ in range(24)))
    check("async: 24 at once", len({a.choices[0].message.content for a in answers}) == 1)
    stream = await client.chat.completions.create(**{**ask, "max_tokens": 900}, stream=True, extra_body={"ignore_eos": True})
    seen = 0
    async for _ in stream:
        seen += 1
        if seen == 5:
            break
    await stream.close()
    task = asyncio.create_task(client.chat.completions.create(**{**ask, "max_tokens": 900}, extra_body={"ignore_eos": True}))
    await asyncio.sleep(0.1)
    task.cancel()
    try:
        await task
        check("async: cancelled", False, "an answer")
    except asyncio.CancelledError:
        check("async: cancelled", True)
    await client.close()


def full_queue(paths):
    """One runs, one waits, further ones get 429 with Retry-After, which the client's own retries heed."""
    with Served(paths, paths.tiny, "--served-model-name", "tiny", "--max-model-len", 1024, "--max-num-seqs", 1, "--max-waiting", 1,
                "--disable-log-stats", name="queue") as served:
        async def run(retries):
            client = openai.AsyncOpenAI(base_url=served.url + "/v1", api_key="none", max_retries=retries)
            answers = await asyncio.gather(*(client.chat.completions.create(
                model="tiny", messages=TEXT, temperature=0, max_tokens=300, extra_body={"ignore_eos": True}) for _ in range(8)),
                return_exceptions=True)
            await client.close()
            return answers
        answers = asyncio.run(run(0))
        refused = [a for a in answers if isinstance(a, openai.RateLimitError)]
        good = [a for a in answers if not isinstance(a, Exception)]
        check("429: some are refused, some answered", len(refused) >= 1 and len(good) >= 1 and len(refused) + len(good) == 8, answers)
        for error in refused:
            check("429: Retry-After", error.status_code == 429 and int(error.response.headers["retry-after"]) >= 1, error.response.headers)
        answers = asyncio.run(run(12))
        check("429: retries get through", all(not isinstance(a, Exception) for a in answers), answers)
        check("429: idle", served.idle())


def main():
    paths = Paths()
    with Served(paths, paths.tiny, "--served-model-name", "tiny", "--max-model-len", 1024, "--max-body-size", "1MiB",
                "--kv-cache-memory-bytes", "32MiB", "--enable-auto-tool-choice", "--tool-call-parser", "hermes",
                "--enable-request-id-headers", "--disable-log-stats", env={"VLLM_API_KEY": "key"}) as served:
        client = openai.OpenAI(base_url=served.url + "/v1", api_key="key", max_retries=0)
        check.equal("models", [m.id for m in client.models.list().data], ["tiny"])
        raw = client.chat.completions.with_raw_response.create(model="tiny", messages=TEXT, max_tokens=1,
                                                               extra_headers={"X-Request-Id": "mine"})
        check.equal("request id", raw.headers.get("x-request-id"), "mine")
        pictures_and_streams(client, paths)
        several_answers(client)
        log_probabilities(client)
        structured(client)
        tools(client)
        completions(client, served)
        refusals(client)
        asyncio.run(many_at_once(served.url))
        check("idle at the end", served.idle())
        check("keys are not logged", '"key"' not in served.log() + served.out_path.read_text() and "Bearer" not in served.log())
    full_queue(paths)
    check.finish()


if __name__ == "__main__":
    main()
