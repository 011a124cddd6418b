#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JSON lines of `measure` as one table, a column per server: table.py FILE..."""
import json
import sys


def _shown(value):
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _cell(row):
    if row["unit"] == "s":
        show = _shown
    else:
        def show(value):
            return f"{value:.3g}"
    text = show(row["median"])
    if len(row["samples"]) > 1:
        ordered = sorted(row["samples"])
        text += f" ({show(ordered[0])} – {show(ordered[-1])})"
    return text


def table(rows):
    """Median (least – most); the latest line of a server and figure counts."""
    servers = list(dict.fromkeys(row["server"] for row in rows))
    figures = list(dict.fromkeys((row["figure"], row["unit"]) for row in rows))
    latest = {(row["figure"], row["server"]): row for row in rows}
    lines = ["| figure | unit | " + " | ".join(servers) + " | cores of others, client |", "|---|---|" + "---|" * (len(servers) + 1)]
    for figure, unit in figures:
        found = [latest[figure, server] for server in servers if (figure, server) in latest]
        cells = [_cell(latest[figure, server]) if (figure, server) in latest else "–" for server in servers]
        noise = f"{max(row['disturbance'] for row in found):.2f}, {max(row['client_cores'] for row in found):.2f}"
        lines.append(f"| {figure.removeprefix('http ')} | {unit} | " + " | ".join(cells) + f" | {noise} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([json.loads(line) for path in sys.argv[1:] for line in open(path) if line.strip()]))
