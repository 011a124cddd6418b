# SPDX-License-Identifier: Apache-2.0
# Sourced by the tests of the pages; test_dir is web/test. Finds Chromium and the packages of the tests, or exits with 77.
skip() { echo "skipped: $*"; exit 77; }

INGOT_TEST_BROWSER=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
  skip "no Chromium in PATH (scripts/setup --with-browser installs it)"
export INGOT_TEST_BROWSER

stamp=$test_dir/node_modules/.ingot-installed
wanted=$(sha256sum <"$test_dir/package-lock.json")
(
  flock 9
  [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0
  timeout 120 npm ci --prefix "$test_dir" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 || exit 1
  echo "$wanted" >"$stamp"
) 9<"$test_dir/package-lock.json" || skip "the packages of web/test are missing (npm ci --prefix web/test --ignore-scripts)"
