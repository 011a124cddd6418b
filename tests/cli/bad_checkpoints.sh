#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damaged, hostile and foreign model folders: every command refuses them with one line, and writes nothing.
. "$(dirname "$0")/lib.sh"

Pictures 2 pictures
quantize=(quantize m -o out --calib pictures)

# Expect CODES REGEX: all commands that open a model as source.
EverywhereRefused() {
  Refused "$1" "$2" "${quantize[@]}"
  Absent out
  Refused "$1" "$2" ask m --prompt Hello --max-tokens 1 --temperature 0
  Shown "$2" inspect m
}

Weights() { CopyModel "$MINI" m; weights=m/model.safetensors; size=$(stat -c %s "$weights"); header=$(HeaderLength "$weights"); }

# Cut short: inside the length, the header, just behind it, in the data, one byte short.
Weights
for keep in 0 7 8 9 100 $((header + 8)) $((size / 2)) $((size - 1)); do
  Weights
  truncate -s "$keep" "$weights"
  Refused 3 'model\.safetensors' "${quantize[@]}"
  Absent out
  Shown 'model\.safetensors' inspect m
  Found 'model\.safetensors' check m
done

# One byte too many.
Weights
printf x >>"$weights"
Refused 3 'model\.safetensors' "${quantize[@]}"

# Header lengths that lie.
for length in 0 1 $((header + 8)) $((size * 2)) $((1 << 40)) 9223372036854775807; do
  Weights
  LittleEndian64 "$length" | dd of="$weights" conv=notrunc bs=8 count=1 status=none
  Shown 'model\.safetensors' inspect m
  Refused 3 'model\.safetensors' "${quantize[@]}"
done
Absent out

# EditHeader SED: replaces the header text, keeping its length.
EditHeader() {
  local text
  Weights
  text=$(dd if="$weights" bs=1 skip=8 count="$header" status=none | sed "$1")
  if [ "${#text}" -gt "$header" ]; then Fail "edited header is longer: $1"; return 1; fi
  printf '%-*s' "$header" "$text" | dd of="$weights" bs=1 seek=8 conv=notrunc status=none
}
EditHeader 's/"BF16"/"XF16"/' && Shown 'XF16' inspect m
EditHeader 's/"dtype"/"dtypo"/' && Shown 'dtype' inspect m
EditHeader 's/\[0,/[9,/' && Shown 'model\.safetensors' inspect m
EditHeader 's/{/[/' && Shown 'JSON|object|header begins' inspect m
EditHeader 's/"shape":\[\([0-9]*\)/"shape":[-\1/;s/  *$//' && Shown 'model\.safetensors' inspect m
EditHeader 's/"shape":\[[0-9]*,[0-9]*\]/"shape":[9,9]/' && Shown 'model\.safetensors' inspect m

# Bits flipped anywhere in the header, places from a fixed sequence: never a crash, at most a refusal.
RANDOM=20260112
for _ in $(seq 40); do
  Weights
  offset=$((8 + (RANDOM * 32768 + RANDOM) % header))
  byte=$(od -An -t u1 -j "$offset" -N 1 "$weights")
  printf "\\x$(printf %02x $((byte ^ (1 << (RANDOM % 8)))))" | dd of="$weights" bs=1 seek="$offset" conv=notrunc status=none
  COMMAND="inspect/check with a bit flipped at $offset"
  for command in inspect check; do
    Run "$command" m
    case "$CODE" in 0 | 1 | 2 | 3) Pass ;; *) Report "crash or wrong exit code ($command)" ;; esac
  done
done

# Index files.
CopyModel "$MINI_UNTIED" m
rm m/model-00002-of-00003.safetensors
EverywhereRefused '2 3' 'model-00002-of-00003'
Found 'model-00002-of-00003' check m
CopyModel "$MINI_UNTIED" m
sed -i 's/model-00002-of-00003/..\/pictures\/x/' m/model.safetensors.index.json
EverywhereRefused '2 3' 'index'
CopyModel "$MINI_UNTIED" m
echo '{"weight_map": 3}' >m/model.safetensors.index.json
EverywhereRefused 3 'index'
CopyModel "$MINI_UNTIED" m
printf '\xff\xfe{' >m/model.safetensors.index.json
EverywhereRefused 3 'index'
CopyModel "$MINI_UNTIED" m
sed -i 's/"lm_head.weight"/"lm_tail.weight"/' m/model.safetensors.index.json
Refused 3 'lm_tail|lm_head' "${quantize[@]}"

# No weights, no config, configs that lie.
CopyModel "$MINI" m
rm m/model.safetensors
EverywhereRefused '2 3' 'safetensors'
CopyModel "$MINI" m
rm m/config.json
EverywhereRefused '2 3' 'config\.json'
for text in '' '{' '[]' 'null' '{"model_type": 3}' '{"model_type": "qwen3_vl"}' '{"model_type":"qwen3_vl","text_config":{"hidden_size":1e308}}'; do
  CopyModel "$MINI" m
  printf '%s' "$text" >m/config.json
  EverywhereRefused '2 3' 'config\.json'
  Found 'config\.json' check m
done
for edit in 's/"hidden_size": 96/"hidden_size": 128/' 's/"num_hidden_layers": 4/"num_hidden_layers": 5/' \
  's/"num_hidden_layers": 4/"num_hidden_layers": -4/' 's/"num_attention_heads": 4/"num_attention_heads": 0/' \
  's/"patch_size": 16/"patch_size": 0/' 's/"vocab_size": 1024/"vocab_size": 99999999999/' 's/"head_dim": 32/"head_dim": "32"/' \
  's/"num_key_value_heads": 2/"num_key_value_heads": 3/'; do
  CopyModel "$MINI" m
  cp m/config.json before.json
  sed -i "$edit" m/config.json
  cmp -s before.json m/config.json && { Fail "edit changes nothing: $edit"; continue; }
  Refused '2 3' . "${quantize[@]}"
  Absent out
done

# Families that are known and not supported, and strangers.
for family in mini-qwen2-vl mini-qwen2.5-vl mini-qwen3-vl-moe; do
  CopyModel "$MINI" m
  cp "$DATA/models/$family/config.json" m/config.json
  Refused '2 3' 'Qwen2-VL|Qwen2.5-VL|Qwen3-VL-MoE' "${quantize[@]}"
  Refused '2 3' 'Qwen2-VL|Qwen2.5-VL|Qwen3-VL-MoE' ask m --prompt Hello --max-tokens 1
done
CopyModel "$MINI" m
sed -i 's/"qwen3_vl"/"llama"/;s/Qwen3VLForConditionalGeneration/LlamaForCausalLM/' m/config.json
EverywhereRefused '2 3' 'llama'

# Tokenizer and template.
CopyModel "$MINI" m
rm m/tokenizer.json
Refused '2 3' 'tokenizer\.json' "${quantize[@]}"
Absent out
Refused '2 3' 'tokenizer\.json' ask m --prompt Hello --max-tokens 1
for text in '' '{}' '{"model": {"type": "BPE", "vocab": 3}}' '[['; do
  CopyModel "$MINI" m
  printf '%s' "$text" >m/tokenizer.json
  Refused '2 3' 'tokenizer\.json' ask m --prompt Hello --max-tokens 1
done
CopyModel "$MINI" m
echo '{"chat_template": "{% for x in %}"}' >m/chat_template.json
Refused '2 3' 'template' ask m --prompt Hello --max-tokens 1
CopyModel "$MINI" m
echo '{"chat_template": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"}' >m/chat_template.json
RUN_TIMEOUT=60 Refused '2 3' 'template' ask m --prompt Hello --max-tokens 1
CopyModel "$MINI" m
rm m/preprocessor_config.json
Refused '2 3' 'preprocessor_config\.json' "${quantize[@]}"
CopyModel "$MINI" m
echo '{"patch_size": -1}' >m/preprocessor_config.json
Refused '2 3' 'preprocessor_config\.json' "${quantize[@]}"
Absent out
Finish
