#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The chat page in a real browser against a server with made-up answers (web/test): streaming, stop, pictures, hostile answers,
# keyboard, accessibility, phone, two models. Usage: web_chat.sh PAGE_DIR, where chat.html and chat.csp are; exit 77 (skipped)
# without Chromium or without the packages of web/test, which are installed once when the network is there.
set -euo pipefail
page_dir=$1
test_dir=$(cd "$(dirname "$0")/../web/test" && pwd)
source "$(dirname "$0")/web_packages.sh"

INGOT_TEST_PAGE_DIR=$page_dir node --test --test-reporter=spec --test-concurrency=1 \
  "$test_dir/unit.test.mjs" "$test_dir/chat.test.mjs" "$test_dir/page.test.mjs"
