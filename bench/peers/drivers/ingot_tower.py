# SPDX-License-Identifier: Apache-2.0
"""The vision tower of `ingot bench model`, which no server shows alone: ingot_tower.py INGOT MODEL SECTIONS."""
import json
import subprocess
import sys

import common

ingot, model, sections = sys.argv[1:]
for section, repeats in common.wanted(sections):
    side = common.number(section)
    command = [ingot, "bench", "model", model, "--filter", f"vision {side}x{side}", "--repeat", str(max(2, repeats)), "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    common.emit_section(section, next(row["samples"] for row in rows if row["figure"].endswith(f"vision {side}x{side}")))
