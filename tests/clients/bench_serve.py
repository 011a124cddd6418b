#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/serve/measure on the bundled model: every figure is there and plausible, failures are told, its lines can be compared.

Usage: bench_serve.py INGOT DATA WORK. Needs Python only. Says nothing about speed: the machine may be busy.
"""
import json
import pathlib
import subprocess
import sys

from served import Checks, Paths, Served

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIGURES = {
    "s": ["first token 448x448", "first token 448x448 again", "first token 448x448 other question", "first token 1024x1024",
          "longest pause 1024x1024", "inter-token 1 streams p50", "inter-token 4 streams p99", "inter-token 16 streams p99 with starts",
          "time per token 1 stream", "overhead per token"],
    "tok/s": ["8 requests at once", "16 requests at once", "prompt 512"],
    "requests/s": ["requests 16 connections"],
    "GB": ["peak memory"],
}


def measure(*args):
    return subprocess.run([sys.executable, ROOT / "bench/serve/measure", *map(str, args)], capture_output=True, text=True, timeout=240)


def main():
    paths, check = Paths(), Checks()
    lines = paths.work / "lines.jsonl"
    sections = "ttft448,ttft1024,pause,itl1,itl4,itl16,serve8,serve16,overhead,requests,pp512"
    with Served(paths, paths.tiny, "--max-model-len", 2048, "--kv-cache-memory-bytes", "128MiB", "--disable-log-stats") as served:
        done = measure("--url", served.url, "--pid", served.process.pid, "--repeats", 1, "--sections", sections, "--out", lines)
        check.equal("exit code", done.returncode, 0)
        rows = {row["figure"]: row for row in map(json.loads, lines.read_text().splitlines())} if lines.exists() else {}
        check("no section failed", "FAILED" not in done.stderr, done.stderr)
        for unit, names in FIGURES.items():
            for name in names:
                row = rows.get("http " + name, {})
                check(f"{name}: there, in {unit}", row.get("unit") == unit and all(x > 0 for x in row["samples"]), row)
                check(f"{name}: in the table", f"| {name} | {unit} |" in done.stdout)
        # What cannot be otherwise, however busy the machine is.
        value = {name.removeprefix("http "): row["value"] for name, row in rows.items()}
        check("overhead below the whole", value["overhead per token"] < 1 and value["inter-token 4 streams p99"] < 60, value)
        check("resident memory as the kernel says", 0.5 < value["peak memory"] * 1e6 / served.resident_kb() < 4, value["peak memory"])
        asked = served.metric("vllm:generation_tokens_total")
        check("the server counted the answers", asked >= 8 + (1 + 4 + 16) * 96 + 24 * 48 + 512, asked)
        tower = served.metric("vllm:mm_cache_queries_total") - served.metric("vllm:mm_cache_hits_total")
        check.equal("three new pictures went through the tower, those seen again did not", tower, 3)
        check("nothing is left running", served.idle())
        failing = measure("--url", served.url, "--model", "other", "--sections", "itl1")
        check("a refusal is told and fails", failing.returncode != 0 and "404" in failing.stderr, failing.stderr)
    compared = paths.run("bench", "compare", lines, lines)
    check("its lines can be compared", "requests at once" in compared, compared)
    nobody = measure("--url", "http://127.0.0.1:9", "--sections", "itl1")
    check("no server: an error, no figures", nobody.returncode != 0 and "|" not in nobody.stdout, nobody.stdout)
    check("an unknown section is named", "no section nonsense" in measure("--sections", "nonsense").stderr)
    check.finish()


if __name__ == "__main__":
    main()
