#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: check_tiles.sh FILE.o ...
# Fails when an innermost loop with six or more multiply-adds (a tile of a packed product) moves vectors to or from the stack,
# or holds more instructions than its sums explain: each multiply-add, a load of x per row and of w per vector, and 14 more.
# Also fails when no such loop is found (then the disassembly is not understood). Returns 77 (skipped) without objdump.
set -euo pipefail

[ $# -gt 0 ] || { sed -n '3s/^# //p' "$0" >&2; exit 2; }
command -v objdump >/dev/null || { echo "check_tiles: skipped: no objdump"; exit 77; }
for object in "$@"; do
  objdump -d --no-show-raw-insn "$object"
done | awk '
  /^[0-9a-f]+ <.*>:$/ { name = $2; count = 0; delete index_of; next }
  /^ *[0-9a-f]+:/ {
    address = $1; sub(/:/, "", address)
    text = $0; sub(/^[^:]*:[ \t]*/, "", text); sub(/^\{[a-z]+\} /, "", text)
    split(text, word, /[ \t]+/)
    ++count; index_of[address] = count; op[count] = word[1]; line[count] = text
    if (word[1] !~ /^j/ || !(word[2] in index_of)) next
    muladds = moves = inner = 0; from = index_of[word[2]]
    for (i = from; i < count; ++i) {
      if (op[i] ~ /^j/) inner = 1
      if (op[i] ~ /^(vpdpbusd|vdpbf16ps|vpmaddwd|vfmadd[0-9]*ps)$/) ++muladds
      if (line[i] ~ /^v(mov|broadcast|p?add).*\(%r[sb]p/ && line[i] ~ /%[xyz]mm/) ++moves
    }
    if (inner || muladds < 6) next
    ++loops
    length_of = count - from + 1
    if (moves > 0) { ++bad; printf "%s at %s: %d vectors on the stack\n", name, word[2], moves }
    if (length_of > 2.75 * muladds + 14) {
      ++bad; printf "%s at %s: %d instructions for %d multiply-adds\n", name, word[2], length_of, muladds
    }
  }
  END {
    printf "check_tiles: %d loops, %d bad\n", loops, bad
    exit bad > 0 || loops == 0
  }'
