#!/bin/bash
# tests/house/format.sh - every C file is laid out as clang-format lays it out by .clang-format.
set -euo pipefail
. tests/house/tracked.bash

if ! command -v clang-format >/dev/null; then
    echo "SKIPPED: needs clang-format (apt-get install clang-format)" >&2
    exit 77
fi
files=$(tracked '*.c' '*.h')
echo "$(wc -w <<<"$files") files, $(clang-format --version)"
clang-format --dry-run -Werror $files
