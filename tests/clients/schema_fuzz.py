#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""schemathesis over /openapi.json: requests that fit the description and requests that do not, none of which may be answered by
a 5xx, by an undocumented status, or by a body that is not as described; the server then serves on and holds nothing.

Usage: schema_fuzz.py INGOT DATA WORK. INGOT_FUZZ_REQUESTS (default 600) and INGOT_FUZZ_SEED (default 1) set how much.
"""
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

from served import Checks, Paths, Served, skip

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = pathlib.Path(sys.executable).parent / "schemathesis"
# Per endpoint that takes a body: what `--max-examples` counts. The others and the systematic cases come on top.
BODIES = 5


def run(served, seed, examples, work):
    """Output and exit code of one run."""
    command = [PROGRAM, "--config-file", HERE / "schema_fuzz.toml", "run", served.url + "/openapi.json", "--seed", seed, "--max-examples", examples, "--workers", 2, "--continue-on-failure", "--output-sanitize", "false",
               "--output-truncate", "false"]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=work, timeout=3000)
    return done.stdout, done.returncode


def statuses(served):
    """How often each status was answered, from the access log."""
    lines = served.out_path.read_text(errors="replace").splitlines()
    return collections.Counter(int(found.group(1)) for line in lines if (found := re.search(r'HTTP/1\.1" (\d{3}) ', line)))


def main():
    paths, check = Paths(), Checks()
    if not PROGRAM.exists():
        skip("needs schemathesis (tests/clients/setup)")
    wanted, seed = int(os.environ.get("INGOT_FUZZ_REQUESTS", 600)), int(os.environ.get("INGOT_FUZZ_SEED", 1))
    options = ["--served-model-name", "tiny", "--max-model-len", 160, "--kv-cache-memory-bytes", "64MiB", "--disable-log-stats",
               "--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--enable-tokenizer-info-endpoint"]
    with Served(paths, paths.tiny, *options) as served:
        question = {"model": "tiny", "messages": [{"role": "user", "content": "What is this?"}], "temperature": 0, "max_tokens": 16}
        before = served.post("/v1/chat/completions", question)["choices"][0]["message"]["content"]
        files, rounds = served.open_files(), 0
        while sum(statuses(served).values()) < wanted and rounds < 20:
            left = wanted - sum(statuses(served).values())
            text, code = run(served, seed + rounds, max(20, left // BODIES), paths.work)
            rounds += 1
            check(f"round {rounds}: schemathesis found nothing", code == 0, text[-6000:])
            (paths.work / f"round{rounds}.log").write_text(text)
            if not served.alive() or code != 0:
                break
        found = statuses(served)
        print(f"{sum(found.values())} requests in {rounds} rounds: " + ", ".join(f"{n} x {s}" for s, n in sorted(found.items())))
        check("as many requests as wanted", sum(found.values()) >= wanted, found)
        check("no 5xx", not any(status >= 500 for status in found), found)
        check("both kinds of answers", found[200] > wanted // 20 and found[400] > wanted // 20, found)
        check("the server lives", served.alive(), served.log()[-2000:])
        check("nothing runs, all pages are free", served.idle())
        check("no request failed inside", served.metric("ingot:request_errors_total") == 0, served.metric("ingot:request_errors_total"))
        check("no file left open", served.open_files() <= files + 4, (files, served.open_files()))
        after = served.post("/v1/chat/completions", question)["choices"][0]["message"]["content"]
        check.equal("the same answer as before", after, before)
        check("the log has no error", not re.search(r"^(error|.*internal)", served.log(), re.M | re.I), served.log()[-2000:])
        json.loads(served.request("GET", "/openapi.json")[2])
    check.finish()


if __name__ == "__main__":
    main()
