#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Right files in the wrong place: quantizing twice, converting twice or for another target, plans that name what is not there.
. "$(dirname "$0")/lib.sh"

Pictures 2 pictures
Ok quantize "$MINI" -o v0 --calib pictures --target ascend-v0 --method v0
Ok quantize "$MINI" -o v1 --calib pictures

# Quantizing what is quantized.
for folder in v0 v1; do
  Refused '2 3' 'quantized' quantize "$folder" -o out --calib pictures
  Absent out
done

# The old conversion step, wrong target, missing options.
cp -r v0 w
before=$(Listing w)
Refused 2 '510|target' convert --original_dir "$MINI" --quant_dir w --target_type 510
Refused 2 'target' convert --original_dir "$MINI" --quant_dir w
Refused 2 'no/such' convert --original_dir "$MINI" --quant_dir no/such --target_type 310
Refused 2 'no/such' convert --original_dir no/such --quant_dir w --target_type 310
Refused '2 3' 'quant|float' convert --original_dir "$MINI" --quant_dir "$MINI" --target_type 310
Equal "folder after refused conversions" "$(Listing w)" "$before"

# Two sets of weights where one is wanted.
cp -r v0 two
cp "$MINI/model.safetensors" two/
before=$(Listing two)
Refused '2 3' 'safetensors' convert --original_dir "$MINI" --quant_dir two --target_type 310
Equal "folder with two weights" "$(Listing two)" "$before"

# Right, then again, then for the other target.
Ok convert --original_dir "$MINI" --quant_dir w --target_type 310
first=$(Listing w)
Run convert --original_dir "$MINI" --quant_dir w --target_type 310
COMMAND="convert for the same target a second time"
case "$CODE" in 0 | 1 | 2) Pass ;; *) Report "second conversion" ;; esac
Equal "folder after a second conversion" "$(Listing w)" "$first"
Run convert --original_dir "$MINI" --quant_dir w --target_type 910
COMMAND="convert a 310 folder for 910"
if [ "$CODE" = 0 ]; then
  Ok check w
else
  Refused '2 3' '910|310' convert --original_dir "$MINI" --quant_dir w --target_type 910
  Equal "folder after a refused conversion" "$(Listing w)" "$first"
fi

# Plans and layer rules.
Ok quantize "$MINI" -o out --calib pictures --dry-run
Absent out
Ok quantize "$MINI" -o out --calib pictures --dry-run --json
if command -v jq >/dev/null; then
  Equal "dry run as JSON" "$(jq -r '[.dry_run, .samples, .linears.q_proj.static, .output_bytes > 0] | join(" ")' "$OUT" 2>&1)" 'true 2 4 true'
fi
printf '{"linears": [{"module": "model.language_model.layers.99.mlp.up_proj", "type": "float"}]}' >plan.json
Refused '2 3' 'layers\.99\.mlp\.up_proj|plan\.json' quantize "$MINI" -o out --calib pictures --plan plan.json
printf '{"linears": 3}' >plan.json
Refused '2 3' 'plan\.json' quantize "$MINI" -o out --calib pictures --plan plan.json
printf 'nonsense' >plan.json
Refused '2 3' 'plan\.json' quantize "$MINI" -o out --calib pictures --plan plan.json
Refused 2 'no\.such' quantize "$MINI" -o out --calib pictures --layers '*.no.such=static'
Refused 2 'sometimes' quantize "$MINI" -o out --calib pictures --layers '*.up_proj=sometimes'
Refused 2 'q_proj|k_proj' quantize "$MINI" -o out --calib pictures --layers '*.q_proj=float'
Refused 2 'dynamic' quantize "$MINI" -o out --calib pictures --target golden-stick-310 --layers '*.down_proj=dynamic'
Refused 2 'tpu' quantize "$MINI" -o out --calib pictures --target tpu
Refused 2 'magic' quantize "$MINI" -o out --calib pictures --method magic
Absent out

# Comparing what cannot be compared.
Refused '2 3' . compare "$MINI" "$MINI_UNTIED" --data "$DATA/val300/textvqa.json" --limit 1 -o report
Refused '2 3' 'no/such' compare "$MINI" no/such --data "$DATA/val300/textvqa.json" -o report
Absent report
Finish
