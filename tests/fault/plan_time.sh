#!/usr/bin/env bash
# tests/fault/plan_time.sh BUILD - the time that `thaw plan --probe` tells is within 20 % of what the steps of the
# real run take, as a whole and in each stage: without a cache, filling one, from one that is there, and thawing
# group by group. Something else may have the processor for a while: a run stands between two probes, whose mean
# counts, and where one is off it is tried again, up to seven times, and the medians must be within 20 %. What was
# timed while other programs took more than half a processor counts for nothing; where that is so three times, no
# time can be told here, and the test is skipped. Runs alone: ctest starts no other test beside it.
. "$(dirname "$0")/common.bash" "$1"

cat >timed.yaml <<'END'
model: {preset: tiny, image: {size: 16, patch: 4, width: 128, layers: 4, heads: 4},
        text: {context: 16, width: 128, layers: 2, heads: 4}, embed: 32}
data: {train: packs/train}
batch: 32
threads: 1
memory_budget: 256 MiB
stages:
  - {name: all, train: all, for: 50 steps}
  - {name: text, train: [text, heads], for: 60 steps}
  - {name: same, train: [text, heads], for: 100 steps, lr: 1e-4}
  - {name: melt, unfreeze: {tower: image, from: top, one_group_every: 20 steps}}
END

# Seconds of each stage, a line each, and of the whole.
probed() {
    expect 0 "$thaw" plan timed.yaml --probe --json run_dir=none
    awk -F'[:,]' '/"seconds":/ { print $2 }' last.log
}
trained() { # the stages' last steps are these
    awk -F'[:,]' '{ sum += $4; all += $4 }
        $2 == 50 || $2 == 110 || $2 == 210 { print sum; sum = 0 }
        END { print sum; print all }' "$1/timings.jsonl"
}

# Clock ticks so far in which processors worked for others than this script and what it has waited for.
others() {
    local own
    read -r -a own </proc/$$/stat
    awk -v own=$((own[13] + own[14] + own[15] + own[16])) '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9 - own }' /proc/stat
}
# disturbed TICKS SECONDS: have others had more than half a processor since then?
disturbed() { [ $((($(others) - $1) * 2)) -gt $(((SECONDS - $2 + 1) * $(getconf CLK_TCK))) ]; }

counted=0 disturbances=0
for attempt in 1 2 3 4 5 6 7; do
    ticks=$(others) since=$SECONDS
    probed >before.txt
    expect 0 "$thaw" train timed.yaml run_dir=runs/$attempt
    trained runs/$attempt >took.txt
    probed >after.txt
    [ "$(wc -l <before.txt)" = 5 ] && [ "$(wc -l <took.txt)" = 5 ] || fail "not four stages: $(cat before.txt took.txt)"
    if disturbed $ticks $since; then
        disturbances=$((disturbances + 1))
        [ $disturbances -lt 3 ] || { echo "skipped: other programs have the processors"; exit 77; }
        continue
    fi
    counted=$((counted + 1))
    paste before.txt after.txt took.txt | awk '{ print NR, ($1 + $2) / 2, $3, ($1 + $2) / 2 / $3 }' >>all.txt
    tail -5 all.txt | awk '{
        printf "%s %.2f s planned, %.2f taken, %+.1f %%\n", $1 < 5 ? "stage " $1 ":" : "in all: ", $2, $3, 100 * ($4 - 1) }'
    # The median of an even number is the mean of its middle two.
    if sort -k1,1n -k4,4g all.txt | awk -v n=$counted '
        { ratio[++seen[$1]] = $4 }
        seen[$1] == n {
            median = (ratio[int((n + 1) / 2)] + ratio[int((n + 2) / 2)]) / 2
            bad += median > 1.2 || median < 0.8
        }
        END { exit bad > 0 }'; then
        echo "within 20 %, at attempt $attempt"
        exit 0
    fi
done
fail "off by more than 20 %: $(cat all.txt)"
