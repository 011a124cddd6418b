#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Places that cannot be written: folder in use, no folder, read-only, disk full.
. "$(dirname "$0")/lib.sh"

Pictures 2 pictures
quantize=(quantize "$MINI" --calib pictures)

mkdir busy
echo mine >busy/file
before=$(Listing busy)
Refused 2 'busy' "${quantize[@]}" -o busy
Equal "folder with somebody's file" "$(Listing busy)" "$before"

echo mine >file
Refused '2 4' 'file' "${quantize[@]}" -o file
Refused '2 4' 'file' "${quantize[@]}" -o file/out
Equal "the file in the way" "$(cat file)" mine
Refused '2 4' '/proc/ingot' "${quantize[@]}" -o /proc/ingot-out

# The model folder itself is no place for the result.
CopyModel "$MINI" m
before=$(Listing m)
Refused 2 'm' quantize m -o m --calib pictures
Equal "model folder" "$(Listing m)" "$before"

if [ "$(id -u)" != 0 ]; then
  mkdir locked
  chmod 555 locked
  Refused '2 4' 'locked' "${quantize[@]}" -o locked/out
  Refused '2 4' 'locked' "${quantize[@]}" -o locked
fi

# A limit on the size of files: the write fails in the middle, the program says so.
(
  ulimit -f 512 # KiB
  Refused 4 'out|disk|space|size|write' "${quantize[@]}" -o out
  exit "$failures"
) || failures=$((failures + 1))
COMMAND="quantize under ulimit -f"
if [ -e out/quant_model_description.json ]; then Fail "a result under ulimit -f"; else Pass; fi
rm -rf out

# A full disk: a small tmpfs in a mount name space of our own. (Needs root or user name spaces.)
disk_full() {
  mkdir -p small
  mount -t tmpfs -o size="$1" tmpfs small || exit 77
  shift
  "$INGOT" "$@" >"$OUT" 2>"$ERR" </dev/null
  code=$?
  find small -type f | sort >left.txt
  exit "$code"
}
export -f disk_full
export INGOT OUT ERR
sizes='64k 512k 1500k'
unshare -m mount -t tmpfs tmpfs /mnt 2>/dev/null || { sizes=; echo "no mount name space here: the full disk is not tested"; }
for size in $sizes; do
  CODE=0
  COMMAND="quantize to a disk of $size"
  unshare -m bash -c 'disk_full "$@"' - "$size" "${quantize[@]}" -o small/out || CODE=$?
  Equal "exit code, disk of $size" "$CODE" 4
  grep -E '^ingot: error: ' "$ERR" | grep -qiE 'small/out.*|space|disk' || Report "the error names neither disk nor folder"
  grep -q 'quant_model_description.json$' left.txt && Fail "a finished looking folder on a full disk"
done
Finish
