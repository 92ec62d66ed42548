#!/bin/bash
# tests/fault/cut_cores.sh BUILD - the tests of the cut with each set of OpenBLAS's kernels that this
# processor can run: what is frozen may be kept whatever they do, and what trains goes on from it bit for
# bit.
set -euo pipefail
build=$1

can_run() { # can_run FLAG: one of the first processor's
    grep -m 1 '^flags' /proc/cpuinfo | grep -qw "$1"
}

ran=0
while read -r core flag; do
    if ! can_run "$flag"; then
        echo "$core: skipped, this processor has no $flag"
        continue
    fi
    for program in unit_trainer_tower_cut unit_trainer_tower_cut_double; do
        echo "$core: $program"
        OPENBLAS_CORETYPE=$core OMP_NUM_THREADS=2 "$build/$program" >"$build/cut_cores.log" 2>&1 || {
            cat "$build/cut_cores.log"
            echo "FAILED: $program with OPENBLAS_CORETYPE=$core"
            exit 1
        }
    done
    ran=$((ran + 1))
done <<'CORES'
SkylakeX avx512f
Zen avx2
Haswell avx2
Sandybridge avx
Nehalem sse4_2
CORES
rm -f "$build/cut_cores.log"
if [ $ran = 0 ]; then
    echo "SKIPPED: this processor can run none of these kernels" >&2
    exit 77
fi
