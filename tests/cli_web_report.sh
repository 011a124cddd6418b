#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The report page in a real browser: it draws everything, logs no error, asks for nothing outside of itself and shows text
# from models as text. Usage: cli_web_report.sh INGOT REPORT_JSON; exit 77 (skipped) without Chromium.
set -euo pipefail
ingot=$1 report=$2

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
  echo "skipped: no Chromium in PATH (scripts/setup --with-browser installs it)"
  exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

"$ingot" compare --from "$report" -o "$work/out" >/dev/null
cmp -s "$work/out/report.json" <("$ingot" compare --from "$work/out/report.json" -o "$work/again" >/dev/null; cat "$work/again/report.json") ||
  fail "report.json changes when the page is made again"
cmp -s "$work/out/report.html" "$work/again/report.html" || fail "the page is not a function of report.json"

dump() {  # dump WIDTH,HEIGHT [FILE]
  timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars --allow-file-access-from-files \
    --enable-logging=stderr --v=0 --virtual-time-budget=5000 --window-size="$1" \
    --user-data-dir="$work/profile" --dump-dom "file://${2:-$work/out/report.html}" >"$work/dom.html" 2>"$work/log.txt"
}

for size in 1280,2000 400,800; do
  dump "$size" || fail "the browser did not finish at $size: $(tail -n 3 "$work/log.txt")"
  if grep -E 'CONSOLE' "$work/log.txt"; then fail "the page logs to the console at $size"; fi
  dom=$work/dom.html
  grep -q 'data-ready="true"' "$dom" || fail "the page did not render at $size"
  charts=$(grep -o '<svg' "$dom" | wc -l)
  [ "$charts" -ge 5 ] || fail "$charts charts instead of at least 5 at $size"
  grep -q '<title>.*ingot compare</title>' "$dom" || fail "the title was changed by the data"
  grep -q 'Answers side by side' "$dom" || fail "no answers at $size"
  # The part before the data element is what people see: tags of the data must be text there.
  if sed '/id="report"/,$d' "$dom" | grep -qE '<b>bold|<img src="?x|<i>not'; then fail "text of the data became markup"; fi
done
# The accuracy of this report falls: no clean bill.
grep -q 'No limit is broken, but look at this' "$dom" || fail "the verdict hides that the accuracy falls"
! grep -q 'Nothing wrong found' <(sed '/id="report"/,$d' "$dom") || fail "a clean bill for a worse model"

# On a phone nothing sticks out sideways. A window cannot be that narrow, a frame can.
cat >"$work/phone.html" <<'HTML'
<!doctype html><title>?</title><iframe src="out/report.html" style="width: 360px; height: 800px; border: 0"></iframe>
<script>
  const frame = document.querySelector("iframe");
  frame.onload = () => setTimeout(() => { document.title = `width ${frame.contentDocument.documentElement.scrollWidth}`; }, 1000);
</script>
HTML
dump 800,900 "$work/phone.html" || fail "the browser did not finish on a phone"
width=$(sed -n 's/.*<title>width \([0-9]*\)<.*/\1/p' "$work/dom.html")
[ "$width" = 360 ] || fail "the page is ${width:-?} pixels wide on a phone of 360"
echo "passed"
