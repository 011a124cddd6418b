#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The pages that repeat the program's words say the same as the program.
. "$(dirname "$0")/lib.sh"
root=$(readlink -f "$DATA/../..")

bash "$root/scripts/cli_docs" "$INGOT" >cli.md || Fail "scripts/cli_docs fails"
if diff -u "$root/docs/cli.md" cli.md >diff.txt; then
  Pass
else
  Fail "docs/cli.md is old; run: scripts/cli_docs > docs/cli.md"
  head -n 20 diff.txt
fi

# The list of what is inside the binary follows the lock files.
if command -v jq >/dev/null && { command -v cargo || [ -x ~/.cargo/bin/cargo ]; } >/dev/null; then
  if bash "$root/scripts/third_party" --check >third_party.txt 2>&1; then Pass; else
    Fail "THIRD_PARTY.md is old; run: scripts/third_party"
    tail -n 20 third_party.txt
  fi
fi

# Links between the pages lead somewhere.
while IFS=: read -r page link; do
  target=${link%%#*}
  [ -n "$target" ] || continue
  if [ -e "$(dirname "$page")/$target" ]; then Pass; else Fail "$page: dead link $link"; fi
done < <(cd "$root" && find "$root" -maxdepth 1 -name '*.md' -print -o -path "$root/docs/*.md" -print -o -path "$root/src/*.md" -print |
  xargs grep -oE '\]\([^)]+\)' /dev/null | sed 's/:\](/:/;s/)$//' | grep -v -E ':(https?|mailto):')
Finish
