#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JSON lines of `run`, and the table with ratios: records.py FILE... prints it."""
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys

# What a row of the table is called, by the figure's name without "http ".
ROWS = {
    "prompt 512": "prefill 512", "prompt 2048": "prefill 2048",
    "answers of 1 streams": "decode, 1 sequence", "answers of 8 streams": "decode, 8 sequences",
    "answers of 16 streams": "decode, 16 sequences",
    "vision 448x448": "vision tower 448²", "vision 1024x1024": "vision tower 1024²",
    "first token 448x448": "first token, picture 448²", "first token 448x448 again": "448² again",
    "first token 448x448 other question": "448², other question",
    "first token 1024x1024": "first token, picture 1024²", "first token 1024x1024 again": "1024² again",
    "first token 1024x1024 other question": "1024², other question",
    "8 requests at once": "8 requests at once", "16 requests at once": "16 requests at once",
    "longest pause 1024x1024": "longest pause", "peak memory": "peak memory", "start to ready": "start to ready",
}
LESS = ("s", "GB")  # units of which less is better


def _cpu():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "CPU part")):
            return line.split(":", 1)[1].strip()
    return "unknown"


def _commit():
    done = subprocess.run(["git", "-C", str(pathlib.Path(__file__).resolve().parent), "describe", "--always", "--dirty", "--exclude=*"],
                          capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


class Records:
    """Writes each figure as it comes, in the form that `ingot bench compare` reads."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.rows, self.versions = path, [], {}
        self.origin = {"commit": _commit(), "compiler": "none", "cpu": _cpu(), "isa": "any", "threads": os.cpu_count()}

    def add(self, program, lap, figure, unit, samples, others, ours):
        samples = [float(f"{max(sample, 1e-6):.6g}") for sample in samples]
        best, worst = (min, max) if unit in LESS else (max, min)
        row = {**self.origin, "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
               "figure": figure.removeprefix("http "), "unit": unit, "value": best(samples), "median": statistics.median(samples),
               "worst": worst(samples), "disturbance": round(others or 0.0, 3), "samples": samples, "server": program, "lap": lap,
               "ours": ours, "version": self.versions.get(program, "")}
        self.rows.append(row)
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"  {row['figure']}: {row['median']:.4g} {unit} {samples} others {row['disturbance']}", file=sys.stderr, flush=True)


def _of(rows, program, figure):
    return [row for row in rows if row["server"] == program and row["figure"] == figure]


def _samples(rows):
    return [sample for row in rows for sample in row["samples"]]


def _show(value, unit):
    return f"{value * 1000:.3g} ms" if unit == "s" and value < 1 else f"{value:.3g}"


def _beside(ours, row):
    """The median of ours in the laps right before and right after this row (one part of each where there is no other)."""
    near = [other for other in ours if other["lap"] in (row["lap"], row["lap"] + 1)] or ours
    return statistics.median(_samples(near)) if near else None


def _cell(mine, ours, unit):
    if not mine:
        return "–"
    text = _show(statistics.median(_samples(mine)), unit)
    pairs = [(row["median"], _beside(ours, row)) for row in mine]
    ratios = [(their / our if unit in LESS else our / their) for their, our in pairs if our]
    return f"{text} ({statistics.median(ratios):.2f}×)" if ratios else text


def _own(mine, unit):
    samples = sorted(_samples(mine))
    if not samples:
        return "–"
    text = _show(statistics.median(samples), unit)
    return f"{text} [{_show(samples[0], unit)} – {_show(samples[-1], unit)}]" if len(samples) > 1 else text


def table(rows, base=None):
    """A row per figure, a column per program. N× = how many times better ours is, N below 1 = the peer is ahead."""
    programs = list(dict.fromkeys(row["server"] for row in rows))
    base = base or next((row["server"] for row in rows if row["ours"]), None)
    programs.sort(key=lambda name: name != base)
    units = {row["figure"]: row["unit"] for row in rows}
    lines = ["| figure | unit | " + " | ".join(programs) + " | ahead | others |", "|---|---|" + "---|" * (len(programs) + 2)]
    for figure in sorted(units, key=lambda name: list(ROWS).index(name) if name in ROWS else len(ROWS)):
        unit, ours = units[figure], _of(rows, base, figure)
        cells = [_own(ours, unit) if name == base else _cell(_of(rows, name, figure), ours, unit) for name in programs]
        medians = {name: statistics.median(_samples(_of(rows, name, figure))) for name in programs if _of(rows, name, figure)}
        ahead = (min if unit in LESS else max)(medians, key=medians.get)
        others = max(row["disturbance"] for row in rows if row["figure"] == figure)
        lines.append(f"| {ROWS.get(figure, figure)} | {unit} | " + " | ".join(cells) + f" | {ahead} | {others:.2f} |")
    versions = {row["server"]: row["version"] for row in rows if row.get("version")}
    lines.append("")
    lines += [f"- {name}: {version}" for name, version in versions.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([json.loads(line) for path in sys.argv[1:] for line in open(path) if line.strip()]))
