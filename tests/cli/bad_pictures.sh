#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Calibration folders with unreadable or hostile pictures: listed and refused; --skip-bad-images goes on with the good ones.
. "$(dirname "$0")/lib.sh"

Pictures 2 good
quantize=(quantize "$MINI" -o out)

# Each of these alone spoils a folder.
mkdir bad
BombPng >bad/bomb.png
BombJpeg >bad/bomb.jpg
BombGif >bad/bomb.gif
ThinPng >bad/thin.png
: >bad/empty.png
printf 'not a picture' >bad/text.jpg
head -c 300 "$(find good -name '*.jpg' | head -n 1)" >bad/cut.jpg
head -c 200 "$(find "$DATA/calib64/images" -name '*.png' | sort | head -n 1)" >bad/cut.png
for picture in bad/*; do
  name=$(basename "$picture")
  rm -rf folder
  Pictures 2 folder
  cp "$picture" folder/
  Refused '2 3 4' 'skip-bad-images' "${quantize[@]}" --calib folder
  grep -qaF "$name" "$ERR" || Report "$name is not named"
  Absent out
  Refused '2 3 4' "${name//./\\.}" ask "$MINI" --image "$picture" --prompt Hello --max-tokens 1
done

# All bad pictures are listed, not only the first: files that are no pictures at once, damaged pictures when they are decoded.
for group in 'empty.png text.jpg' 'bomb.gif bomb.jpg bomb.png cut.jpg cut.png thin.png'; do
  rm -rf folder
  Pictures 2 folder
  for name in $group; do cp "bad/$name" folder/; done
  Refused '2 3 4' 'skip-bad-images' "${quantize[@]}" --calib folder
  for name in $group; do grep -qaF "$name" "$ERR" || Report "$name is not listed"; done
  Absent out
done

rm -rf folder
Pictures 2 folder
cp bad/* folder/
# With the option the rest is used, and the result equals that of the good pictures alone (the report names the others).
Ok "${quantize[@]}" --calib folder --skip-bad-images
Ok quantize "$MINI" -o clean --calib good
Same out clean ingot_quant_report.json
grep -q 'bomb\.png' out/ingot_quant_report.json || Fail "the report does not name the skipped pictures"
rm -rf out clean

# Nothing usable at all.
mkdir none
Refused 2 'none|picture' "${quantize[@]}" --calib none
echo text >none/readme.txt
Refused '2 3' 'none|picture' "${quantize[@]}" --calib none
Refused '2 3 4' 'picture|bad' "${quantize[@]}" --calib bad --skip-bad-images
Refused 2 'no/such' "${quantize[@]}" --calib no/such
Absent out

# Data sets that lie.
printf '{"messages": [' >broken.jsonl
Refused '2 3' 'broken\.jsonl' "${quantize[@]}" --calib broken.jsonl
printf '{"messages": [{"role": "user", "content": [{"type": "image", "image": "no/such.png"}]}]}\n' >missing.jsonl
Refused '2 3' 'such\.png' "${quantize[@]}" --calib missing.jsonl
printf '{"data": [{"question": 3}]}' >broken.json
Refused '2 3' 'broken\.json' "${quantize[@]}" --calib broken.json
Absent out
Finish
