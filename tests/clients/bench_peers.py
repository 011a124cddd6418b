#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/peers/run and bench/compare_commits: the order of the runs, ratios, failures that are told, programs that hang.

Usage: bench_peers.py INGOT DATA WORK. Needs Python and git. Says nothing about speed; the other program is a script with made-up figures.
"""
import json
import pathlib
import socket
import subprocess
import sys
import types

from served import Checks, Paths

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/peers"), str(ROOT / "bench/serve")]
from records import table  # noqa: E402
from sections import Bench  # noqa: E402

SCRIPT = {
    "good": "print('noise'); print('{\"figure\": \"first token 448x448\", \"unit\": \"s\", \"samples\": [1e9]}'); print(sys.argv[-1], file=sys.stderr)",
    "broken": "sys.exit(3)",
    "hanging": "subprocess.run(['sleep', '600'])",
}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def entry(name):
    return {"parts": [{"kind": "driver", "sections": ["ttft448"], "command": ["{python}", "-c", "import subprocess, sys; " + SCRIPT[name]]}]}


def config(paths):
    ours = {"ours": True, "needs": ["{ingot}"], "version": ["{ingot}", "--version"], "parts": [
        {"kind": "server", "sections": ["ttft448", "pp512"], "command": [
            "{ingot}", "serve", "{work}", "--host", "127.0.0.1", "--port", "{port}", "--max-model-len", "1024", "--kv-cache-memory-bytes", "64MiB"]}]}
    return {"places": {"port": str(free_port())}, "repeats": {"ttft448": 2, "pp512": 1}, "programs": {
        "ours": ours, "good": entry("good"), "broken": entry("broken"), "absent": {"needs": ["{work}/nothing here"], **entry("good")},
        "besides": {"extra": True, **entry("good")}, "hanging": entry("hanging")}}


def run(paths, *args):
    file = paths.work / "config.json"
    file.write_text(json.dumps(config(paths)))
    out = paths.work / "lines.jsonl"
    out.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, ROOT / "bench/peers/run", "--work", paths.tiny, "--config", file, "--ingot", paths.ingot, "--out", out,
                           "--logs", paths.work / "logs", *args], capture_output=True, text=True, timeout=240)
    return done, [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def check_run(paths, check):
    done, rows = run(paths, "--sections", "ttft448", "--limit", "20")
    order = [(row["server"], row["lap"]) for row in rows if row["figure"] == "first token 448x448"]
    check.equal("ours before, between and after", order, [("ours", 0), ("good", 0), ("ours", 1), ("ours", 2), ("ours", 3)])
    check("a failure gives an exit code", done.returncode == 1, done.stderr)
    check("and is told", "failed: broken: ttft448: exit code 3" in done.stdout and "failed: hanging: ttft448: exit code -9" in done.stdout, done.stdout)
    check("a missing program is left out and said", "absent: left out" in done.stderr and "nothing here is missing" in done.stderr, done.stderr)
    check("what is not usual was not run", not any(row["server"] == "besides" for row in rows))
    ours = [row for row in rows if row["server"] == "ours" and row["figure"] == "first token 448x448"]
    check("as many samples as the config says", all(len(row["samples"]) == 2 and min(row["samples"]) > 0 for row in ours), ours)
    check("a server's start and memory are figures", {"start to ready", "peak memory"} <= {row["figure"] for row in rows})
    check("the version is there", "ingot" in ours[0]["version"] and "- ours: ingot" in done.stdout, done.stdout)
    check("ours is ahead of a milliard seconds", "| first token, picture 448² | s | " in done.stdout and "| ours |" in done.stdout, done.stdout)
    check("the driver was told sections and repeats", "ttft448=2" in (paths.work / "logs/good.0.0.log").read_text())
    compared = paths.run("bench", "compare", paths.work / "lines.jsonl", paths.work / "lines.jsonl")
    check("its lines can be compared", "first token 448x448" in compared, compared)


def check_choice(paths, check):
    done, rows = run(paths, "--programs", "ours", "--sections", "pp512")
    check("one program alone, once", done.returncode == 0 and [row["lap"] for row in rows if row["figure"] == "prompt 512"] == [0], rows)
    check("an unknown section is named", "no section nonsense" in run(paths, "--sections", "nonsense")[0].stderr)
    check("nothing to do is an error", run(paths, "--programs", "absent")[0].returncode != 0)


def row(server, lap, figure, unit, *samples):
    return {"server": server, "lap": lap, "figure": figure, "unit": unit, "samples": list(samples), "median": sorted(samples)[len(samples) // 2],
            "disturbance": 0.0, "ours": server == "ours"}


def check_table(check):
    """Ratios are with what was measured right before and right after, so that a machine that changes its speed does not show."""
    rows = [row("ours", 0, "prompt 512", "tok/s", 100.0), row("slow", 0, "prompt 512", "tok/s", 75.0),
            row("ours", 1, "prompt 512", "tok/s", 200.0), row("fast", 1, "prompt 512", "tok/s", 600.0), row("ours", 2, "prompt 512", "tok/s", 400.0),
            row("ours", 0, "first token 448x448", "s", 2.0), row("slow", 0, "first token 448x448", "s", 3.0),
            row("slow", 0, "prompt 2048", "tok/s", 5.0)]
    lines = table(rows).splitlines()
    check("speed", "| prefill 512 | tok/s | 200 [100 – 400] | 75 (2.00×) | 600 (0.50×) | fast | 0.00 |" in lines, lines)
    check("time: more is worse", "| first token, picture 448² | s | 2 | 3 (1.50×) | – | ours | 0.00 |" in lines, lines)
    check("no figure of ours: no ratio", "| prefill 2048 | tok/s | – | 5 | – | slow | 0.00 |" in lines, lines)


def check_answers(check):
    """Two streams that answer together from 1.0 to 3.0: 2 + 4 tokens in these 2 s, the second's events holding two tokens each."""
    one = types.SimpleNamespace(token_times=[1.0, 2.0, 3.0, 4.0], completion_tokens=4)
    two = types.SimpleNamespace(token_times=[0.5, 2.0, 3.0], completion_tokens=6)
    bench = Bench(None, None, 1, 4096)
    bench._together = lambda sizes: [one, two]
    check.equal("answers of streams", list(bench.answers(2)), [("http answers of 2 streams", "tok/s", [3.0])])


def check_commits(paths, check):
    what, folder = "ops --shape tiny --filter rms_norm --repeat 2 --seconds 0.1", paths.work / "compare"
    done = subprocess.run([sys.executable, ROOT / "bench/compare_commits", "HEAD", "HEAD", "--binary", f"HEAD={paths.ingot}", "--rounds", "2",
                           "--folder", folder, "--what", what, "--busy"], capture_output=True, text=True, timeout=120)
    check("compared", done.returncode in (0, 1) and "ops rms_norm" in done.stdout, done.stdout + done.stderr)
    lines = sorted(folder.glob("*.jsonl"))
    check("each side's lines, each round", len(lines) == 2 and all(file.read_text().count('"ops rms_norm 1x') == 2 for file in lines), lines)
    unknown = subprocess.run([sys.executable, ROOT / "bench/compare_commits", "HEAD", "no-such-commit"], capture_output=True, text=True)
    check("an unknown commit is named", unknown.returncode != 0 and "no-such-commit" in unknown.stderr, unknown.stderr)


def main():
    paths, check = Paths(), Checks()
    check_table(check)
    check_answers(check)
    check_run(paths, check)
    check_choice(paths, check)
    check_commits(paths, check)
    check.finish()


if __name__ == "__main__":
    main()
