#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The original workflow's command lines as they are typed there, with the paths of this machine, on the bundled trained model.
. "$(dirname "$0")/lib.sh"
Need jq

CopyModel "$TINY" Qwen3-VL
mkdir train_images_64
cp "$DATA"/calib64/images/* train_images_64/

# python quant_qwen3vl.py ...
Ok quantize --model_path "$WORK/Qwen3-VL/" --calib_images "$WORK/train_images_64/" --save_directory "$WORK/Qwen3-VL-W8A8/" \
  --w_bit 8 --a_bit 8 --device_type cpu --trust_remote_code True
HasFile Qwen3-VL-W8A8/quant_model_description.json Qwen3-VL-W8A8/config.json

# python convert_weights.py ...
Ok convert --original_dir "$WORK/Qwen3-VL/" --quant_dir "$WORK/Qwen3-VL-W8A8/" --target_type 310
grep -q -- '--quantization golden-stick' "$OUT" "$ERR" || Fail "convert does not say how to serve the folder"
for name in chat_template.json config.json generation_config.json merges.txt model.safetensors.index.json preprocessor_config.json \
  quant_model_description.json quant_model_weight_w8a8.safetensors tokenizer.json tokenizer_config.json \
  video_preprocessor_config.json vocab.json; do
  HasFile "Qwen3-VL-W8A8/$name"
done
Equal "number of weight files" "$(find Qwen3-VL-W8A8 -name '*.safetensors' | wc -l)" 1
find Qwen3-VL-W8A8 -name '*.partial' -o -name '.ingot*' | grep -q . && Fail "unfinished files are left"

# The folder says what it is and what it needs; served without the option it would print garbage.
Ok check Qwen3-VL-W8A8 --original_dir Qwen3-VL
grep -q -- '--quantization golden-stick' "$OUT" || Fail "check does not name the option"
Ok check Qwen3-VL-W8A8 --original_dir Qwen3-VL --json
jq -e . "$OUT" >/dev/null || Fail "check --json is no JSON"

# Every tensor of the index is in the file and the other way round.
Ok inspect Qwen3-VL-W8A8 --json
jq -e . "$OUT" >/dev/null || Fail "inspect --json is no JSON"
Equal "tensors in the index" "$(jq '.weight_map | length' Qwen3-VL-W8A8/model.safetensors.index.json)" \
  "$(jq '[.. | objects | select(has("dtype") and has("shape"))] | length' "$OUT")"

# It answers.
picture=$(find train_images_64 -type f | sort | head -n 1)
Ok ask Qwen3-VL-W8A8 --image "$picture" --prompt 'What is the background color?' --temperature 0 --max-tokens 8 --json
jq -e '.text | length > 0' "$OUT" >/dev/null || Fail "no answer: $(head -c 300 "$OUT")"
Finish
