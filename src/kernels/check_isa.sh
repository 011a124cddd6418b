#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: check_isa.sh BUILD_FOLDER
# Fails when an object of the program other than the files of an instruction set holds instructions that not every x86-64
# CPU has (AVX and wider registers, dot products, tiles), or when one of those files does not hold what it is for. Returns 77
# (skipped) without objdump.
set -euo pipefail

[ $# = 1 ] || { sed -n '3s/^# //p' "$0" >&2; exit 2; }
command -v objdump >/dev/null || { echo "check_isa: skipped: no objdump"; exit 77; }
export LC_ALL=C

# The first instruction of $2 that matches the pattern $1.
first() { objdump -d --no-show-raw-insn "$2" | grep -m1 -E "$1" || true; }

wide='%[yz]mm|%[xyz]mm(1[6-9]|2[0-9]|3[01])|%k[1-7]|vpdp|vdpbf16|%tmm'
bad=0 plain=0
while IFS= read -r object; do
  case "${object##*/}" in
    avx2*.cc.o | limits_avx2.cc.o) allowed='%zmm|%tmm|vdpbf16' need='%ymm' ;;
    avxvnni_*.cc.o) allowed='%zmm|%tmm|vdpbf16' need='vpdpbusd.*%ymm' ;;
    avx512_packed.cc.o | limits_avx512.cc.o) allowed='%tmm' need='vpdpbusd.*%zmm' ;;
    avx512_bf16*.cc.o) allowed='%tmm' need='vdpbf16ps.*%zmm' ;;
    avx512*.cc.o) allowed='%tmm' need='%zmm' ;;
    amx.cc.o) allowed='vpdpbusd' need='tdpbssd' ;;
    *) allowed=$wide need='' plain=$((plain + 1)) ;;
  esac
  found=$(first "$allowed" "$object")
  if [ -n "$found" ]; then
    echo "check_isa: $object holds: $found"
    bad=1
  fi
  if [ -n "$need" ] && [ -z "$(first "$need" "$object")" ]; then
    echo "check_isa: $object does not hold $need"
    bad=1
  fi
done < <(find "$1/src" -path '*/ingot_*.dir/*' -name '*.o')
[ "$plain" -gt 0 ] || { echo "check_isa: no objects under $1/src"; exit 1; }
echo "check_isa: $plain objects for any CPU"
exit "$bad"
