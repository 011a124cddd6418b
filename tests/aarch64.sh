#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds for aarch64 and runs the unit tests under qemu, once with the instructions of a Kunpeng 920 (neoverse-n1) and once
# with all (max); the choice of the kernels also on a CPU without dot products, where a wrong one is an illegal instruction.
# Returns 77 (skipped) when a tool is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
usage: tests/aarch64.sh [--all]

  --all  every layer that the preset builds (default: base, tensor and the kernels)
TEXT
}

all=0
case "${1:-}" in
  "") ;;
  --all) all=1 ;;
  *) usage >&2; exit 2 ;;
esac

for tool in aarch64-linux-gnu-g++ aarch64-linux-gnu-objdump qemu-aarch64; do
  if ! command -v "$tool" >/dev/null 2>&1; then
    echo "aarch64: skipped: $tool is missing (scripts/setup --aarch64 installs it)"
    exit 77
  fi
done
if [ ! -e /usr/src/googletest/CMakeLists.txt ]; then
  echo "aarch64: skipped: /usr/src/googletest is missing (scripts/setup --aarch64 installs it)"
  exit 77
fi

cmake --preset aarch64 >/dev/null
if [ "$all" = 1 ]; then
  cmake --build --preset aarch64
  select=(-L unit)
else
  cmake --build --preset aarch64 --target base_test tensor_test kernels_test attention_test kernels_arm_packed_test
  select=(-R '^(base_test|tensor_test|kernels_|attention_test)')
fi
src/kernels/arm/check_spills.sh build/aarch64/src/kernels/CMakeFiles/ingot_kernels.dir/arm/*.o
for cpu in neoverse-n1 max; do
  echo "aarch64: $cpu"
  ctest --preset "aarch64-$cpu" --no-tests=error "${select[@]}"
done
echo "aarch64: cortex-a72"
QEMU_CPU=cortex-a72 ctest --test-dir build/aarch64 --output-on-failure --no-tests=error -R '^(kernels_|attention_test)'
