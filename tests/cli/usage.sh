#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Help, version, completions; wrong options end with exit code 2 and one line.
. "$(dirname "$0")/lib.sh"

Ok --version
grep -qE '^ingot [0-9]+\.[0-9]+' "$OUT" || Fail "--version prints: $(head -c 200 "$OUT")"
Ok --help
commands="quantize convert check inspect compare eval ask trace synth"
for command in $commands; do
  grep -qE "^ *$command " "$OUT" || Fail "--help does not name $command"
done
for command in $commands; do
  Ok "$command" --help
  grep -qi 'usage' "$OUT" || Fail "$command --help has no usage line"
  [ -s "$ERR" ] && Fail "$command --help writes to standard error"
  Refused 2 'no-such-option' "$command" --no-such-option
done
Ok completion bash
bash -n "$OUT" || Fail "the bash completion is no valid script"
Ok help

Refused 2 'quantise.*quantize|unknown' quantise
Refused 2 'MODEL' quantize
Refused 2 'directory|folder|DIR' check
Refused 2 'no/such/folder' check no/such/folder
Refused 2 'no/such/folder' inspect no/such/folder
Refused 2 'no/such/folder' quantize no/such/folder -o out --calib no/such/folder
Refused 2 'threads' inspect "$MINI" --threads 0
Refused 2 'threads' inspect "$MINI" --threads many
Refused 2 'w-bit|w_bit' quantize --model_path "$MINI" --calib_images "$DATA/calib64/images" --save_directory out --w_bit 4
Absent out

# What is printed must have arrived.
if [ -w /dev/full ]; then
  CODE=0
  COMMAND="inspect > /dev/full"
  "$INGOT" inspect "$MINI" --json >/dev/full 2>"$ERR" </dev/null || CODE=$?
  Equal "exit code of a full standard output" "$CODE" 4
fi
Finish
