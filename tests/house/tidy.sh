#!/bin/bash
# tests/house/tidy.sh BUILD - clang-tidy's bugprone checks (.clang-tidy) on every source of the program,
# compiled as the build folder compiles it. Tests are left out: they would double the time.
set -euo pipefail
. tests/house/tracked.bash

if ! command -v clang-tidy >/dev/null; then
    echo "SKIPPED: needs clang-tidy (apt-get install clang-tidy)" >&2
    exit 77
fi
if [ ! -f "$1/compile_commands.json" ]; then
    echo "no $1/compile_commands.json: configure the build with CMake" >&2
    exit 1
fi
files=$(tracked '*.c' ':!tests')
echo "$(wc -w <<<"$files") files, $(clang-tidy --version | grep -o 'version.*')"
# Two at a time, the dear and the cheap mixed; its counts of suppressed warnings are left out.
printf '%s\n' $files | xargs -P 2 -n 4 clang-tidy -p "$1" --quiet 2> >(grep -v 'warnings generated' >&2)
