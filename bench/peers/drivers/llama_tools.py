# SPDX-License-Identifier: Apache-2.0
"""llama.cpp through its own tools, which are faster than its server: llama_tools.py BIN_DIR MODEL.gguf THREADS SECTIONS.

llama-bench for prompts and one sequence, llama-batched-bench for several.
"""
import json
import pathlib
import subprocess
import sys

import common

binaries, model, threads, sections = sys.argv[1:]
LOAD = ["-m", model, "-t", threads, "-fa", "1"]


def bench(prompt, answer, repeats):
    """Tokens per second of each repeat."""
    command = [str(pathlib.Path(binaries) / "llama-bench"), *LOAD, "-lm", "none", "-p", str(prompt), "-n", str(answer), "-r", str(repeats), "-o", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)[0]["samples_ts"]


def batched(n, repeats):
    """Pure decode of n sequences (its speed_tg), a process for each repeat."""
    context = n * (common.STREAM_PROMPT + common.ANSWER)
    command = [str(pathlib.Path(binaries) / "llama-batched-bench"), "-m", model, "-t", threads, "-tb", threads, "-fa", "on", "-lm", "none",
               "-c", str(context), "-b", "2048", "-ub", "512", "-npp", str(common.STREAM_PROMPT), "-ntg", str(common.ANSWER), "-npl", str(n),
               "--output-format", "jsonl"]
    samples = []
    for _ in range(repeats):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        samples.append(rows[-1]["speed_tg"])
    return samples


for section, repeats in common.wanted(sections):
    count = common.number(section)
    if section.startswith("pp"):
        result = bench(count, 0, repeats)
    elif section == "tg1":
        result = bench(0, common.ANSWER, repeats)
    else:
        result = batched(count, repeats)
    common.emit_section(section, result)
