#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `kill -9` at random moments of the in-place conversion: the folder is the old one or can be completed by the same command, and then
# has the same bytes as after an undisturbed run.
. "$(dirname "$0")/lib.sh"

moments=20
Pictures 2 pictures
Ok quantize "$TINY" -o v0 --calib pictures --target ascend-v0 --method v0
cp -r v0 expected
start=$(date +%s%N)
Ok convert --original_dir "$TINY" --quant_dir expected --target_type 310
run_ms=$((($(date +%s%N) - start) / 1000000 + 1))
echo "one run takes $run_ms ms"

RANDOM=${INGOT_TEST_SEED:-4711}
killed=0
for moment in $(seq "$moments"); do
  rm -rf w
  cp -r v0 w
  # Early and late moments alike; the last renames happen at the end.
  delay=$(((RANDOM * 32768 + RANDOM) % run_ms))
  [ $((moment % 4)) = 0 ] && delay=$((run_ms * 9 / 10 + RANDOM % (run_ms / 10 + 1)))
  "$INGOT" convert --original_dir "$TINY" --quant_dir w --target_type 310 </dev/null >/dev/null 2>"$ERR" &
  pid=$!
  sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
  if kill -9 "$pid" 2>/dev/null; then killed=$((killed + 1)); fi
  wait "$pid" 2>/dev/null
  # Whatever stands there is no sound-looking mixture: check either accepts it or says what is wrong.
  Run check w
  COMMAND="check of a folder whose conversion was killed after $delay ms"
  case "$CODE" in 0 | 1) Pass ;; *) Report "check" ;; esac
  Ok convert --original_dir "$TINY" --quant_dir w --target_type 310 || { echo "  moment $moment, $delay ms"; break; }
  Same expected w || { echo "  moment $moment, $delay ms"; break; }
done
echo "killed $killed of $moments"
[ "$killed" -ge $((moments / 4)) ] || Fail "killed only $killed times"
Finish
