# SPDX-License-Identifier: Apache-2.0
# What the command line tests share. Usage of every script: SCRIPT INGOT DATA WORK, where INGOT is the binary, DATA is tests/data and
# WORK a scratch folder, emptied first. A failed expectation is printed and counted; Finish gives the exit code.
set -u
export LC_ALL=C.UTF-8

INGOT=$(readlink -f "$1")
DATA=$(readlink -f "$2")
WORK=$3
rm -rf "$WORK"
mkdir -p "$WORK"
WORK=$(readlink -f "$WORK")
cd "$WORK" || exit 1

TINY=$DATA/models/tiny-qwen3-vl  # trained
MINI=$DATA/models/mini-qwen3-vl  # random weights, tied
MINI_UNTIED=$DATA/models/mini-qwen3-vl-untied  # random weights, 3 shards
failures=0
checks=0

Skip() { echo "skipped: $*"; exit 77; }
Need() { command -v "$1" >/dev/null 2>&1 || Skip "needs $1 (scripts/setup installs it)"; }

Fail() {
  failures=$((failures + 1))
  printf 'FAIL: %s\n' "$*"
}

Pass() { checks=$((checks + 1)); }

Finish() {
  printf '%d expectations, %d failed\n' "$((checks + failures))" "$failures"
  [ "$failures" = 0 ] && [ "$checks" -gt 0 ]
}

# Run ARGS...: the program with stdout in $OUT, stderr in $ERR, exit code in $CODE.
OUT=$WORK/.stdout ERR=$WORK/.stderr CODE=0
Run() {
  CODE=0
  timeout -k 5 "${RUN_TIMEOUT:-300}" "$INGOT" "$@" >"$OUT" 2>"$ERR" </dev/null || CODE=$?
}

Report() {
  Fail "$1"
  printf '  command: ingot %s\n  exit code: %s\n' "$COMMAND" "$CODE"
  sed 's/^/  stderr: /' "$ERR" | tail -n 8 | cut -c 1-400
}

# Ok ARGS...: must succeed. The caller looks at $OUT.
Ok() {
  COMMAND="$*"
  Run "$@"
  if [ "$CODE" != 0 ]; then Report "expected success"; return 1; fi
  Pass
}

# Refused "CODES" REGEX ARGS...: must end with one of the codes and exactly one error line that matches REGEX (extended, any case).
Refused() {
  local codes=$1 regex=$2 lines
  shift 2
  COMMAND="$*"
  Run "$@"
  case " $codes " in
    *" $CODE "*) ;;
    *) Report "expected exit code $codes"; return 1 ;;
  esac
  lines=$(grep -ac '^ingot: error: ' "$ERR")
  if [ "$lines" != 1 ]; then Report "expected one error line, found $lines"; return 1; fi
  if ! grep -a '^ingot: error: ' "$ERR" | grep -qaiE -- "$regex"; then Report "the error line does not match /$regex/"; return 1; fi
  if grep -a '^ingot: error: ' "$ERR" | grep -qaE 'internal|defect|std::|basic_string|bad_alloc|bad_optional|nlohmann|json\.exception|filesystem error'; then
    Report "the error line shows the inside of the program"
    return 1
  fi
  Pass
}

# Shown REGEX ARGS...: `inspect` shows what it can of a damaged folder; the damage must be named, by whatever exit code below 4.
Shown() {
  local regex=$1
  shift
  COMMAND="$*"
  Run "$@"
  case "$CODE" in 0 | 1 | 2 | 3) ;; *) Report "expected no crash"; return 1 ;; esac
  cat "$OUT" "$ERR" | grep -qaiE -- "$regex" || { Report "no line matches /$regex/"; return 1; }
  Pass
}

# Found REGEX ARGS...: `check` must judge the folder (exit code 1) or refuse it (2, 3) with a matching line somewhere.
Found() {
  local regex=$1
  shift
  COMMAND="$*"
  Run "$@"
  case "$CODE" in
    1 | 2 | 3) ;;
    *) Report "expected a finding (exit code 1, 2 or 3)"; return 1 ;;
  esac
  cat "$OUT" "$ERR" | grep -qaiE -- "$regex" || { Report "no line matches /$regex/"; return 1; }
  Pass
}

# Absent PATH...: nothing may be there, not even an unfinished file.
Absent() {
  local path left
  for path in "$@"; do
    left=$(find "$(dirname "$path")" -maxdepth 1 \( -name "$(basename "$path")" -o -name "$(basename "$path").*" -o -name ".$(basename "$path")*" \) 2>/dev/null)
    if [ -n "$left" ]; then
      Fail "left behind after: ingot $COMMAND"
      find $left | sed 's/^/  /' | head -n 8
      rm -rf $left
      return 1
    fi
  done
  Pass
}

# Listing DIR: every file with its hash; to show that a folder did not change.
Listing() { (cd "$1" && find . -type f | sort | xargs -r sha256sum); }

# Same A B [NAME...]: two folders hold the same files with the same bytes, NAMEs left out.
Same() {
  local a=$1 b=$2 name exclude=()
  shift 2
  for name in "$@"; do exclude+=(--exclude="$name"); done
  if ! diff -r ${exclude[@]+"${exclude[@]}"} "$a" "$b" >"$WORK/.diff" 2>&1; then
    Fail "folders differ: $a $b"
    sed 's/^/  /' "$WORK/.diff" | head -n 8
    return 1
  fi
  Pass
}

Equal() {  # Equal WHAT FOUND EXPECTED
  if [ "$2" != "$3" ]; then Fail "$1: found '$2', expected '$3'"; return 1; fi
  Pass
}

HasFile() {
  local path
  for path in "$@"; do
    if [ ! -s "$path" ]; then Fail "missing or empty: $path"; else Pass; fi
  done
}

# CopyModel SOURCE TARGET: writable copy.
CopyModel() { rm -rf "$2"; mkdir -p "$2"; cp "$1"/* "$2"/; chmod -R u+w "$2"; }

# Pictures COUNT DIR: the first pictures of the calibration set.
Pictures() {
  mkdir -p "$2"
  find "$DATA/calib64/images" -type f | sort | head -n "$1" | xargs -I{} cp {} "$2"/
}

# The eight little-endian bytes of a number, for headers.
LittleEndian64() {
  local value=$1 i
  for i in 0 1 2 3 4 5 6 7; do
    printf '%b' "\\x$(printf '%02x' $((value & 255)))"
    value=$((value >> 8))
  done
}
HeaderLength() { od -An -t u8 -N 8 "$1" | tr -d ' '; }

# Files that say they are huge pictures; a few hundred bytes each.
BombPng() { base64 -d <<<iVBORw0KGgoAAAANSUhEUgAA6mAAAOpgCAIAAAAPsOIVAAAADElEQVR4nGNgoAwAAABAAAG3NHzvAAAAAElFTkSuQmCC; }
BombJpeg() {
  base64 -d <<<"/9j/2wBDAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQH/wAARCP3o/egDASIAAhEBAxEB/9k="
}
BombGif() { base64 -d <<<"R0lGODlh/////4AAAAAAAP///ywAAAAA/////wACAkwBADs="; }
ThinPng() {  # 1 x 100000
  base64 -d <<<"iVBORw0KGgoAAAANSUhEUgAAAAEAAYagAQAAAADCQuQ5AAAA2UlEQVR42u3BMQEAAADCoPVPbQZ/oAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACA1wANbQABD6rragAAAABJRU5ErkJggg=="
}
