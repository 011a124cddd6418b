#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `kill -9` at random moments of quantize, then the same command again: the folder has the same bytes as that of an undisturbed run.
. "$(dirname "$0")/lib.sh"

moments=20
Pictures 6 pictures
start=$(date +%s%N)
Ok quantize "$TINY" -o expected --calib pictures
run_ms=$((($(date +%s%N) - start) / 1000000))
echo "one run takes $run_ms ms"

RANDOM=${INGOT_TEST_SEED:-4711}
killed=0 resumed=0
moment=0
while [ "$killed" -lt "$moments" ] && [ "$moment" -lt 80 ]; do # some runs are faster than the first one and escape
  moment=$((moment + 1))
  rm -rf out out.partial
  # One to three kills before the run that is left alone.
  for _ in $(seq $((RANDOM % 3 + 1))); do
    delay=$(((RANDOM * 32768 + RANDOM) % run_ms))
    "$INGOT" quantize "$TINY" -o out --calib pictures --quiet </dev/null >/dev/null 2>"$ERR" &
    pid=$!
    sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
    if kill -9 "$pid" 2>/dev/null; then killed=$((killed + 1)); fi
    wait "$pid" 2>/dev/null
    [ -e out.partial ] && resumed=$((resumed + 1))
  done
  if [ ! -e out/quant_model_description.json ]; then
    Ok quantize "$TINY" -o out --calib pictures || { echo "  moment $moment"; break; }
  fi
  Same expected out ingot_quant_report.json || { echo "  moment $moment"; break; }
  left=$(find . -maxdepth 1 -name 'out.*'; find out -name '*.partial' -o -name '.ingot*' | head -n 3)
  [ -z "$left" ] || Fail "unfinished files are left: $left"
done
echo "killed $killed times, an unfinished folder stood $resumed times"
[ "$killed" -ge "$moments" ] || Fail "killed only $killed times"

# Ctrl-C: exit code 130, a line that says how to go on, and the same bytes afterwards.
rm -rf out
"$INGOT" quantize "$TINY" -o out --calib pictures </dev/null >/dev/null 2>"$ERR" &
pid=$!
sleep "$(printf '%d.%03d' $((run_ms / 2000)) $((run_ms / 2 % 1000)))"
kill -INT "$pid" 2>/dev/null || true
CODE=0
wait "$pid" || CODE=$?
if [ "$CODE" != 0 ]; then # 0: it was faster
  COMMAND="quantize, interrupted"
  Equal "exit code after Ctrl-C" "$CODE" 130
  grep -qiE 'interrupted' "$ERR" || Report "no word about the interruption"
  Ok quantize "$TINY" -o out --calib pictures
fi
Same expected out ingot_quant_report.json

# Any number of threads gives the same bytes.
for threads in 1 3; do
  rm -rf out
  Ok quantize "$TINY" -o out --calib pictures --threads "$threads"
  Same expected out ingot_quant_report.json
done
Finish
