#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: check_spills.sh FILE.o ...
# Fails when an innermost loop with eight or more multiply-adds moves vectors to or from the stack: the sums of a tile must
# stay in registers. Also fails when no such loop is found (then the disassembly is not understood).
set -euo pipefail

for object in "$@"; do
  "${OBJDUMP:-aarch64-linux-gnu-objdump}" -d --no-show-raw-insn "$object"
done | awk '
  # One instruction: "  18c:  b.cs  e8 <symbol+0xe8>".
  /^[0-9a-f]+ <.*>:$/ { name = $2; count = 0; delete index_of; next }
  /^ *[0-9a-f]+:/ {
    address = $1; sub(/:/, "", address)
    ++count; index_of[address] = count; op[count] = $2
    text = $0; sub(/^[^:]*:[ \t]*/, "", text); line[count] = text
    if ($2 !~ /^(b|b\..*|cbn?z|tbn?z)$/) next
    target = text; sub(/ <.*/, "", target); sub(/.*[ \t]/, "", target)
    if (!(target in index_of)) next
    muladds = moves = inner = 0
    for (i = index_of[target]; i < count; ++i) {
      if (op[i] ~ /^(b|b\..*|cbn?z|tbn?z)$/) inner = 1
      if (op[i] ~ /^(fmla|sdot|smmla|bfmmla|sadalp2?|smlal2?)$/) ++muladds
      if (line[i] ~ /^(ldr|str|ldp|stp|ldur|stur)[ \t]+q.*\[sp/) ++moves
    }
    if (inner || muladds < 8) next
    ++loops
    if (moves > 0) { ++bad; printf "%s at %s: %d vector moves to or from the stack\n", name, target, moves }
  }
  END {
    printf "check_spills: %d loops, %d with spills\n", loops, bad
    exit bad > 0 || loops == 0
  }'
