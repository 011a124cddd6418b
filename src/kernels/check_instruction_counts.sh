#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: check_instruction_counts.sh COUNT_KERNELS BUDGETS [--update]
# Counts the instructions of the functions Count* of the program under callgrind and compares them with the stored numbers
# ("name instructions" in each line): more than 3 % above is an error, more than 3 % below asks for an update. Counts do not
# depend on the machine's speed, but on the compiler. Returns 77 (skipped) without valgrind or AVX2.
set -euo pipefail

if [ $# -lt 2 ]; then sed -n '3,6s/^# //p' "$0" >&2; exit 2; fi
program=$1 budgets=$2
for tool in valgrind callgrind_annotate; do
  command -v "$tool" >/dev/null || { echo "instruction counts: skipped: no $tool (scripts/setup installs it)"; exit 77; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
status=0
valgrind --tool=callgrind --callgrind-out-file="$folder/out" "$program" >"$folder/log" 2>&1 || status=$?
if [ "$status" != 0 ]; then cat "$folder/log"; exit "$status"; fi
callgrind_annotate --inclusive=yes --threshold=100 "$folder/out" |
  sed -nE 's/^ *([0-9,]+) .*:(Count[A-Za-z0-9]+)( .*)?$/\2 \1/p' | tr -d , | sort -u >"$folder/counts"
[ -s "$folder/counts" ] || { echo "instruction counts: no function Count* found in the output of callgrind"; exit 1; }
if [ "${3:-}" = --update ]; then
  cp "$folder/counts" "$budgets"
  cat "$budgets"
  exit 0
fi
awk '
  NR == FNR { budget[$1] = $2; next }
  { found[$1] = 1
    if (!($1 in budget)) { printf "%s: %d instructions, no budget\n", $1, $2; bad = 1; next }
    change = 100 * ($2 / budget[$1] - 1)
    printf "%-16s %9d of %9d %+.1f %%\n", $1, $2, budget[$1], change
    if (change > 3) { print "  too many"; bad = 1 }
    if (change < -3) print "  fewer: write it down with --update"
  }
  END {
    for (name in budget) if (!(name in found)) { printf "%s: not counted\n", name; bad = 1 }
    exit bad
  }' "$budgets" "$folder/counts"
