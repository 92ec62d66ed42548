#!/usr/bin/env bash
# tests/run.sh - installs what is missing (Debian, apt; root or sudo), builds, and runs every test.
#
#     ./tests/run.sh
#
# First the unit tests under AddressSanitizer (with its search for leaks) and UndefinedBehaviorSanitizer
# in build-asan/, then all tests in build/, the fuzz targets for five seconds each (docs/fuzzing.md), and
# last the reference tests, which compare with torch, open_clip and transformers (docs/parity.md; they
# install these into build/). Fuzz targets and reference tests are skipped, with the reason among the
# last lines, where they cannot run. The exit code is 0 only when all passed. A test that
# cannot run here is listed as skipped; its reason stands in build/Testing/Temporary/LastTest.log.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/packages.sh
thaw_install_packages build test demo

# Open MPI refuses root unless told twice.
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
jobs=$(nproc)

cmake -S . -B build-asan -G Ninja -DTH_WERROR=ON -DTH_SANITIZE=ON
ninja -C build-asan -j "$jobs"
UBSAN_OPTIONS=print_stacktrace=1 \
    ctest --test-dir build-asan -j "$jobs" -L '^(unit|fuzz)$' --no-tests=error --output-on-failure

cmake -S . -B build -G Ninja -DTH_WERROR=ON
ninja -C build -j "$jobs" all bench # nothing runs the benchmarks here, but they must build
ctest --test-dir build -j "$jobs" -LE '^parity$' --no-tests=error --output-on-failure
fuzzed=0
tests/fuzz/run.sh || fuzzed=$? # 77: skipped
[ "$fuzzed" = 0 ] || [ "$fuzzed" = 77 ] || exit "$fuzzed"
ctest --test-dir build -j "$jobs" -L '^parity$' --no-tests=error --output-on-failure
if [ -s build/parity/SKIPPED ]; then
    echo "SKIPPED: no comparison with torch, open_clip and transformers: $(cat build/parity/SKIPPED)"
fi
if [ "$fuzzed" = 77 ]; then
    echo "SKIPPED: no fuzzing: clang or its libFuzzer is missing (libclang-rt-14-dev)"
fi
