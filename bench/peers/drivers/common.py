# SPDX-License-Identifier: Apache-2.0
"""What the drivers share: the wanted sections from the last argument, a line per figure, the same inputs as over HTTP."""
import json
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "serve"))
from inputs import Inputs  # noqa: E402,F401

PROMPT, ANSWER, STREAM_PROMPT = 128, 48, 64  # as in bench/serve/sections.py
NAMES = {"pp512": "prompt 512", "pp2048": "prompt 2048", "tg1": "answers of 1 streams", "tg8": "answers of 8 streams",
         "tg16": "answers of 16 streams", "vit448": "vision 448x448", "vit1024": "vision 1024x1024",
         "ttft448": "first token 448x448", "ttft1024": "first token 1024x1024", "serve8": "8 requests at once",
         "serve16": "16 requests at once"}


def wanted(text):
    """[("pp512", 3), ...] of "pp512=3,..."."""
    return [(name, int(repeats)) for name, repeats in (part.split("=") for part in text.split(","))]


def number(section):
    return int(re.search(r"\d+$", section).group())


def unit(section):
    return "s" if section.startswith(("vit", "ttft")) else "tok/s"


def emit(figure, samples, its_unit):
    print(json.dumps({"figure": figure, "unit": its_unit, "samples": samples}), flush=True)


def emit_section(section, samples):
    emit(NAMES[section], samples, unit(section))


def emit_memory():
    with open(f"/proc/{os.getpid()}/status") as file:
        peak = int(re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.M).group(1))
    emit("peak memory", [peak * 1024 / 1e9], "GB")


def timed(job):
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin
