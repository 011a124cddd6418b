#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The endpoints of a running `ingot serve` through openai-python, the client that most programs use.

Usage: openai_client.py BASE_URL PICTURE [EXPECTED_ANSWER]     (needs `pip install openai`)

The server needs --enable-auto-tool-choice --tool-call-parser hermes. EXPECTED_ANSWER is what `ingot ask MODEL --image
PICTURE "What is this?" --greedy --max-tokens 24` says.
"""
import base64
import json
import sys
from typing import Literal

import openai
from openai import OpenAI
from pydantic import BaseModel


class Pet(BaseModel):
    kind: Literal["cat", "dog"]
    legs: Literal[3, 4]


def picture_messages(path):
    with open(path, "rb") as file:
        url = "data:image/jpeg;base64," + base64.b64encode(file.read()).decode()
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}},
                                         {"type": "text", "text": "What is this?"}]}]


def check(name, condition, found=None):
    print(("ok    " if condition else "FAIL  ") + name + ("" if condition else f": {found!r}"))
    check.failed += not condition


check.failed = 0


def fails_with(name, kind, status, call):
    try:
        call()
    except kind as error:
        check(name, error.status_code == status, error.status_code)
    else:
        check(name, False, "no error")


def main():
    base_url, picture = sys.argv[1], sys.argv[2]
    client = OpenAI(base_url=base_url + "/v1", api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    chat = client.chat.completions
    messages = picture_messages(picture)
    text = [{"role": "user", "content": "What is this?"}]
    greedy = {"model": model, "temperature": 0, "max_tokens": 24}

    whole = chat.create(messages=messages, **greedy)
    answer = whole.choices[0].message.content
    check("picture", bool(answer), answer)
    if len(sys.argv) > 3:
        check("picture: as `ingot ask` says", answer == sys.argv[3], answer)
    chunks = list(chat.create(messages=messages, stream=True, stream_options={"include_usage": True}, **greedy))
    check("picture, streamed", "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer)
    check("usage, streamed", chunks[-1].usage == whole.usage or
          chunks[-1].usage.total_tokens == whole.usage.total_tokens, chunks[-1].usage)
    check("finish_reason", chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason)

    many = chat.create(model=model, messages=text, n=3, temperature=1, seed=3, max_tokens=8)
    check("n", [c.index for c in many.choices] == [0, 1, 2])
    logprobs = chat.create(messages=text, logprobs=True, top_logprobs=2, **greedy).choices[0].logprobs.content
    check("logprobs", len(logprobs) > 0 and len(logprobs[0].top_logprobs) == 2 and logprobs[0].logprob <= 0, logprobs[:1])
    check("logprobs: bytes", bytes(b for t in logprobs for b in t.bytes).decode(errors="replace")[:4] != "", logprobs[:1])

    parsed = client.chat.completions.parse(messages=text, response_format=Pet, model=model, temperature=0, max_tokens=200)
    check("json_schema, parsed", isinstance(parsed.choices[0].message.parsed, Pet), parsed.choices[0].message)

    tools = [{"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"], "additionalProperties": False}}}]
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        options = {"model": model, "messages": text, "tools": tools, "tool_choice": choice, "temperature": 0, "max_tokens": 200}
        call = chat.create(**options).choices[0].message.tool_calls[0]
        check("tool call", call.function.name == "weather" and json.loads(call.function.arguments)["city"] in ("Rome", "Oslo"), call)
        arguments, names = "", []
        for chunk in chat.create(stream=True, **options):
            for delta in chunk.choices[0].delta.tool_calls or []:
                names += [delta.function.name] if delta.function.name else []
                arguments += delta.function.arguments or ""
        check("tool call, streamed", names == ["weather"] and arguments == call.function.arguments, (names, arguments))
    auto = chat.create(model=model, messages=text, tools=tools, temperature=0, max_tokens=8)
    check("tools, auto", auto.choices[0].finish_reason in ("stop", "length", "tool_calls"))

    completion = client.completions.create(model=model, prompt=["a red", "a blue"], max_tokens=4, logprobs=1, echo=True, temperature=0)
    check("completions", len(completion.choices) == 2 and completion.choices[0].text.startswith("a red"), completion.choices[0])
    check("completions: logprobs", completion.choices[0].logprobs.token_logprobs[0] is None)

    fails_with("unknown model", openai.NotFoundError, 404, lambda: chat.create(model="other", messages=text))
    fails_with("bad value", openai.BadRequestError, 400, lambda: chat.create(model=model, messages=text, top_p=2))
    fails_with("bad picture", openai.BadRequestError, 400, lambda: chat.create(model=model, messages=[
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]))
    fails_with("too long", openai.BadRequestError, 400, lambda: chat.create(
        model=model, messages=[{"role": "user", "content": "word " * 200000}]))
    sys.exit(check.failed > 0)


if __name__ == "__main__":
    main()
