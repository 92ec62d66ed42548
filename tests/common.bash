# tests/common.bash - what tests of whole programs share: an empty folder, ranks, and a loud end.
#
#     . tests/common.bash BUILD
#
# Afterwards we stand in an empty folder that goes away at the end. Ranks are oversubscribed.
set -euo pipefail
build=$(realpath "$1")
thaw=$build/thaw
folder=$(mktemp -d "$build/test-XXXXXX")
export OMPI_MCA_pml=ob1 OMP_NUM_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

leave() {
    local code=$?
    if [ -n "$(jobs -pr)" ]; then kill -KILL $(jobs -pr) 2>/dev/null || true; fi
    wait 2>/dev/null || true
    cd /
    [ $code = 0 ] || [ -z "${TH_KEEP:-}" ] || { echo "kept: $folder"; return; }
    rm -rf "$folder"
}
trap leave EXIT
trap 'echo "FAILED: line $LINENO of $0: $BASH_COMMAND"' ERR
cd "$folder"

fail() {
    echo "FAILED: $*"
    for log in *.log; do
        [ -s "$log" ] && { echo "--- $log"; tail -20 "$log"; }
    done
    exit 1
}

# expect CODE COMMAND...: runs it, output to last.log.
expect() {
    local want=$1 code=0
    shift
    "$@" >last.log 2>&1 || code=$?
    [ $code = "$want" ] || fail "exit code $code where $want was expected: $*"
}

# ranks N ARGUMENTS...: thaw on N ranks.
ranks() {
    local n=$1
    shift
    timeout 300 mpirun -n "$n" --oversubscribe --bind-to none --quiet "$thaw" "$@"
}

# same FILE FILE: byte for byte.
same() { cmp "$1" "$2" >cmp.log 2>&1 || fail "$1 and $2 differ: $(cat cmp.log)"; }
