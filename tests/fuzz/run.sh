#!/usr/bin/env bash
# tests/fuzz/run.sh [SECONDS] [TARGET...] - builds the fuzz targets in build-fuzz/ and runs each for
# SECONDS (5), two at a time, from the corpus in tests/fuzz/corpus/.
#
# What it finds of new paths stays in build-fuzz/corpus/, where the next run goes on. The exit code is 1
# when any target found something: the input stands in build-fuzz/found/, what is wrong with it in
# build-fuzz/<target>.log. It is 77, with the reason, where clang or its libFuzzer is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-5}
shift || true
build=$PWD/build-fuzz

if ! command -v clang >/dev/null; then
    echo "SKIPPED: needs clang (apt-get install clang libclang-rt-14-dev)" >&2
    exit 77
fi
if [ ! -f "$(clang --print-file-name=libclang_rt.fuzzer-x86_64.a)" ] &&
    [ ! -f "$(clang --print-runtime-dir)/libclang_rt.fuzzer-$(uname -m).a" ]; then
    echo "SKIPPED: clang has no libFuzzer (apt-get install libclang-rt-14-dev)" >&2
    exit 77
fi

cmake -S . -B "$build" -G Ninja -DTH_WERROR=ON -DTH_FUZZ=ON -DCMAKE_C_COMPILER=clang >/dev/null
ninja -C "$build" >"$build/build.log" || {
    cat "$build/build.log"
    exit 1
}
if [ $# = 0 ]; then
    set -- $(ls tests/fuzz/fuzz_*.c | sed 's,.*/fuzz_,,; s,\.c$,,')
fi

# No input of 4 KiB may take 5 seconds or 160 MB in one piece: what a few bytes claim is refused, and
# nothing that is read costs more than linear time. Only a lossless WebP of one colour may be as large as
# a picture gets (TH_IMAGE_PIXELS, four bytes each) in fifty bytes.
run_target() {
    local most_mb=160
    [ "$1" != image ] || most_mb=420
    mkdir -p "$build/corpus/$1" "$build/found"
    if "$build/fuzz_$1" -max_total_time="$2" -seed=1 -timeout=5 -max_len=4096 -rss_limit_mb=1500 \
        -malloc_limit_mb="$most_mb" -print_final_stats=1 -artifact_prefix="$build/found/$1-" \
        "$build/corpus/$1" "tests/fuzz/corpus/$1" >"$build/$1.log" 2>&1; then
        echo "$1: $(sed -n 's/.*number_of_executed_units: *//p' "$build/$1.log") inputs, nothing found"
    else
        tail -40 "$build/$1.log"
        echo "$1: FOUND, see build-fuzz/$1.log and build-fuzz/found/"
        return 1
    fi
}
export -f run_target
export build ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
printf '%s\n' "$@" | xargs -P 2 -I{} bash -c "run_target {} $seconds" || exit 1
