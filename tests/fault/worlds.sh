#!/bin/bash
# tests/fault/worlds.sh BUILD - 1, 2, 3 and 4 ranks see the same samples in the same order, and compute
# the same: losses equal to 1e-6 relative at the first step, where only the order of sums differs, and
# to 1e-4 over 50 steps, as rounding grows in training. With the softmax loss, and with the sigmoid loss
# and a mask; `thaw eval` and `thaw query` know both.
. "$(dirname "$0")/common.bash" "$1"

compare() {
    local what=$1 n
    shift
    for n in 1 2 3 4; do
        expect 0 ranks $n train run.yaml run_dir=runs/$what-$n checkpoint.every=never "$@"
        grep -o 'step [0-9]*: samples .*' runs/$what-$n/log.txt >samples.$n
        metric train/loss runs/$what-$n >loss.$n
        [ "$(wc -l <samples.$n)" = 50 ] && [ "$(wc -l <loss.$n)" = 50 ] || fail "$n ranks: not 50 steps"
    done
    [ "$(sed 's/.*samples//' samples.1 | sort -u | wc -l)" = 50 ] || fail "steps with the same samples"
    for n in 2 3 4; do
        same samples.1 samples.$n
        paste loss.1 loss.$n | awk -v n=$n '
            { off = ($1 - $2) / $1; off = off < 0 ? -off : off; most = off > most ? off : most }
            NR == 1 && off > 1e-6 || off > 1e-4 { print n " ranks: step " NR ": " $1 " and " $2; bad = 1 }
            END { print n " ranks: losses off by at most " most; exit bad }' || fail "losses differ"
    done
    awk 'NR == 1 { first = $1 } END { exit !($1 < 0.9 * first) }' loss.1 || fail "nothing was learned"
    expect 0 ranks 3 eval runs/$what-1 --json
    mv last.log eval.3
    expect 0 "$thaw" eval runs/$what-1 --json
    awk -F'[:,]' '{ print $4 }' eval.3 last.log >evals
    metric val/loss runs/$what-1 | tail -1 >>evals
    awk 'NR == 1 { first = $1 } { off = ($1 - first) / $1 } off > 1e-6 || off < -1e-6 { exit 1 }' evals ||
        fail "thaw eval differs: $(cat evals)"
    expect 0 "$thaw" query runs/$what-1 "a red disc"
}

compare softmax
compare sigmoid loss.kind=sigmoid loss.mask_duplicates=true
[ "$(head -1 runs/softmax-1/metrics.jsonl)" = "$(head -1 runs/sigmoid-1/metrics.jsonl)" ] ||
    fail "other parameters train"
# Weights without their run: the loss is told by the table, the mask is not.
sed -i 's/mask_duplicates: true/mask_duplicates: false/' runs/sigmoid-1/config.resolved.yaml
expect 0 "$thaw" import --from "$(newest runs/sigmoid-1)" --out weights.h5
expect 0 "$thaw" eval weights.h5 --data packs/val --json
mv last.log weights
expect 0 "$thaw" eval runs/sigmoid-1 --json
[ "$(grep -o 'val/loss": [^,]*' weights)" = "$(grep -o 'val/loss": [^,]*' last.log)" ] ||
    fail "the loss of weights is another: $(cat weights last.log)"
[ "$(grep -o 'val/loss": [^,]*' last.log)" != "$(grep -o 'val/loss": [^,]*' eval.3)" ] || fail "nothing was masked"
if cmp -s <(metric train/loss runs/softmax-1) <(metric train/loss runs/sigmoid-1); then fail "one loss"; fi
echo "1, 2, 3 and 4 ranks: the same samples, the same losses"
