#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ask, eval and compare on the bundled trained model. Usage: see cli/lib.sh.
. "$(dirname "$0")/cli/lib.sh"
Need jq

Field() { jq -r "$1" "$OUT"; }
picture=$DATA/val300/images/020200000.jpg
describe='Please describe this picture in detail.'

# --- ask
Ok ask "$TINY" --image "$picture" --prompt "$describe" --temperature 0 --max-tokens 40 --json && {
  text=$(Field .text)
  Equal "picture tokens" "$(Field .usage.picture_tokens)" 9
  Equal "finish reason" "$(Field .finish_reason)" stop
  Equal "tokens" "$(Field '.token_ids | length')" "$(Field .usage.completion_tokens)"
  Equal "timings" "$(Field '[.timings[] | . >= 0] | all')" true
}
Ok ask "$TINY" "$describe" -i "$picture" --greedy && Equal "streamed text" "$(cat "$OUT")" "$text"
Ok ask "$TINY" "$describe" -i "$picture" --greedy --threads 1 && Equal "one thread" "$(cat "$OUT")" "$text"
Ok ask "$TINY" "$describe" -i "$picture" --seed 7 --temperature 1.5 --json && first=$(Field .text)
Ok ask "$TINY" "$describe" -i "$picture" --seed 7 --temperature 1.5 --json && Equal "same seed" "$(Field .text)" "$first"
Ok ask "$TINY" "$describe" -i "$picture" --greedy --max-tokens 3 --json && Equal "cut" "$(Field .finish_reason)" length
Ok ask "$TINY" --image "$picture" --image "$DATA/val300/images/020200001.jpg" "Which is red?" --greedy --json &&
  Equal "two pictures" "$(Field '.usage.picture_tokens > 9')" true

Refused 2 'nothing\.png' ask "$TINY" -i nothing.png "What?"
echo "no picture" >text.png
Refused 3 'text\.png' ask "$TINY" -i text.png "What?"
Refused 2 'top.p' ask "$TINY" "What?" --top-p 2
Refused 2 'max-tokens is 0' ask "$TINY" "What?" --max-tokens 0
Refused 2 'unknown option --imgae; the nearest is --image' ask "$TINY" --imgae x "What?"
Refused 2 'given twice' ask "$TINY" "What?" --prompt "What?"
Refused 2 'no/such/model' ask no/such/model "What?"

# A conversation: commands, a mistake in the middle, the end of the input.
printf '/image nothing.png\n/image %s\n%s\n/nonsense\n/reset\n/quit\n' "$picture" "$describe" |
  "$INGOT" ask "$TINY" --greedy >"$OUT" 2>"$ERR" && Pass || Fail "the conversation ended with $?"
Equal "the conversation's answer" "$(cat "$OUT")" "$text"
grep -q 'nothing.png does not exist' "$ERR" && Pass || Fail "the missing picture is not named"
grep -q 'no command /nonsense' "$ERR" && Pass || Fail "the unknown command is not named"

# --- eval. 95 of 300 in float32 is what transformers reaches with the same weights and pictures.
messages=$DATA/val300/messages.jsonl
Ok eval "$TINY" --data "$messages" --precision f32 -n 40 --json && {
  Equal "exact answers" "$(Field '[.predictions[].exact_match] | add')" 95
  Equal "n" "$(Field .n)" 300
  Equal "kinds add up" "$(Field '[.kinds[].n] | add')" 300
}
Ok eval "$TINY" --data "$messages" --limit 5 -o run --json && Equal "fresh" "$(Field .n_resumed)" 0
printf '{"key": "cut of' >>run/predictions.jsonl
Ok eval "$TINY" --data "$messages" --limit 8 -o run --json && {
  Equal "resumed" "$(Field .n_resumed)" 5
  Equal "lines" "$(wc -l <run/predictions.jsonl)" 8
}
whole=$(jq -c '[.accuracy, .predictions]' "$OUT")
Ok eval "$TINY" --data "$messages" --limit 8 --json && Equal "resumed = fresh" "$(jq -c '[.accuracy, .predictions]' "$OUT")" "$whole"
Ok eval "$TINY" --data "$messages" --limit 8 -o run --precision f32 --json && Equal "another setting" "$(Field .n_resumed)" 0
Ok eval "$TINY" --data "$DATA/val300/textvqa.json" --images "$DATA/val300/images" --limit 8 --json && Equal "TextVQA" "$(Field .n)" 8
mkdir -p bad && cp "$picture" bad/a.jpg && head -c 300 "$picture" >bad/b.jpg
Refused 3 'b\.jpg.*--skip-bad-images' eval "$TINY" --data bad
Ok eval "$TINY" --data bad --skip-bad-images --json && Equal "skipped" "$(Field '.skipped | length')" 1
Refused 2 '--data is missing' eval "$TINY"

# --- compare
Ok compare "$TINY" "$TINY" --data "$messages" --limit 6 -o same --json && {
  Equal "KL of a model and itself" "$(Field '.totals | .kl_max == 0 and .top1_agree == 1 and .n_diverged == 0')" true
  Equal "stages equal" "$(Field '[.stages[].sqnr_db | (.text // 200) == 200 and (.vision // 200) == 200] | all')" true
}
HasFile same/report.json same/report.html
Pictures 8 calib
Ok quantize "$TINY" -o w8a8 --calib calib --progress none && {
  Ok compare "$TINY" w8a8 --data "$messages" --limit 12 -o report --json && {
    Equal "quantized linears measured" "$(Field '[.linears[] | select(.exec != "float") | .sqnr_db.text > 20] | all')" true
    Equal "some are quantized" "$(Field '[.linears[] | select(.exec != "float")] | length > 0')" true
    Equal "lists agree" "$(Field '[.samples[] | (.kl | length) == (.tokens | length)] | all')" true
    Equal "thumbnails" "$(Field '[.samples[].pictures[] | .thumbnail | startswith("data:image/jpeg;base64,")] | all')" true
  }
  Run compare "$TINY" w8a8 --data "$messages" --limit 4 -o judged --max-kl 0
  Equal "exit code of a broken limit" "$CODE" 1
  grep -q '^WRONG: .*--max-kl' "$OUT" && Pass || Fail "the finding is not shown"
}
Ok compare --from report/report.json -o again && Same report again
sed 's/"version": 1/"version": 2/' report/report.json >newer.json
Refused 3 'version 2' compare --from newer.json -o nowhere && Absent "$WORK/nowhere"
Refused 2 'only a model and its quantized form' compare "$TINY" "$MINI" --data "$messages" -o nowhere && Absent "$WORK/nowhere"
Refused 2 'B is missing' compare "$TINY" -o nowhere --data "$messages" && Absent "$WORK/nowhere"

Finish
