#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The chat page in a real browser against `ingot serve` on the bundled model (web/test/real.test.mjs). Usage: web_serve.sh INGOT DATA
# WORK [SHOTS]: SHOTS is a folder for pictures of the page. Exit 77 (skipped) without Chromium or the packages of web/test.
set -euo pipefail
ingot=$(readlink -f "$1") data=$(readlink -f "$2") work=$3
test_dir=$(cd "$(dirname "$0")/../web/test" && pwd)
source "$(dirname "$0")/web_packages.sh"

rm -rf "$work"
mkdir -p "$work"
model=$data/models/tiny-qwen3-vl
"$ingot" quantize "$model" -o "$work/w8a8" --target golden-stick-310 --calib "$data/calib64/images" --max-samples 8 --progress none
if [ $# -gt 3 ]; then
  mkdir -p "$4"
  INGOT_TEST_SHOTS=$(readlink -f "$4")
  export INGOT_TEST_SHOTS
fi
INGOT_TEST_PROGRAM=$ingot INGOT_TEST_MODEL=$model INGOT_TEST_W8A8=$work/w8a8 \
  INGOT_TEST_PICTURE=$data/val300/images/020200000.jpg \
  node --test --test-reporter=spec --test-concurrency=1 "$test_dir/real.test.mjs"
