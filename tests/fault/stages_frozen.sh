#!/bin/bash
# tests/fault/stages_frozen.sh BUILD - frozen is frozen: at the end of a stage weights and kept moments of what
# it froze have the hashes that they had at its start, all that trained has others, and dropped moments are
# not in the checkpoint. The batch changes with each stage, on 1, 2 and 3 ranks: the same samples, and losses
# equal to 1e-6 relative at the first step, where only the order of sums differs, and to 1e-4 over 50
# steps, as rounding grows in training.
. "$(dirname "$0")/common.bash" "$1"

cat >>run.yaml <<'END'
stages:
  - {name: all, train: all, for: 10 steps, batch: 24}
  - {name: text, freeze: image, for: 10 steps, batch: 37}
  - {name: image, train: [image, logit_scale], for: 10 steps, batch: 11}
  - {name: both, unfreeze: text, for: 10 steps, batch: 40}
  - {name: lost, freeze: image.embed, moments: drop, for: 10 steps, batch: 24}
  - {name: back, train: all, for: 10 steps, batch: 5}
END

for n in 1 2 3; do
    expect 0 ranks $n train run.yaml run_dir=runs/$n checkpoint.every=10steps checkpoint.keep=9 eval.every=never
    grep -o 'step [0-9]*: samples .*' runs/$n/log.txt >samples.$n
    metric train/loss runs/$n >loss.$n
    metric samples_seen runs/$n >seen.$n
    [ "$(wc -l <samples.$n)" = 60 ] && [ "$(wc -l <loss.$n)" = 60 ] || fail "$n ranks: not 60 steps"
done
[ "$(sed -n '10p;20p;30p;40p;50p;60p' seen.1 | tr '\n' ' ')" = "240 610 720 1120 1360 1410 " ] ||
    fail "batches are not those of the stages: $(cat seen.1)"
# The log's numbers are sums over (position, record): all stages together saw what one stage sees, each once.
sed '/^stages:/,$d' run.yaml >plain.yaml
expect 0 ranks 1 train plain.yaml run_dir=runs/plain batch=10 for=141steps checkpoint.every=never eval.every=never
grep -o 'step [0-9]*: samples .*' runs/plain/log.txt >samples.plain
for run in 1 plain; do
    awk -F'[ -]' '{ a += $4; b += $5 } END { printf "%.0f %.0f\n", a, b }' samples.$run >sum.$run
done
same sum.1 sum.plain
for n in 2 3; do
    same samples.1 samples.$n
    same seen.1 seen.$n
    paste loss.1 loss.$n | head -50 | awk -v n=$n '
        { off = ($1 - $2) / $1; off = off < 0 ? -off : off; most = off > most ? off : most }
        NR == 1 && off > 1e-6 || off > 1e-4 { print n " ranks: step " NR ": " $1 " and " $2; bad = 1 }
        END { print n " ranks: losses off by at most " most; exit bad }' || fail "losses differ"
done

# hashes RANKS STEP PART TOWER: "name hash" of the tower's tensors; PART is model, optim/exp_avg, ...
hashes() {
    local manifest names='"visual\.'
    manifest=$(printf 'runs/%d/ckpt/step-%08d.json' "$1" "$2")
    grep -oE "\"$3/[^\"]*\": *\"[0-9a-f]+\"" "$manifest" | sed "s|\"$3/|\"|" | grep -v logit_scale |
        case $4 in
        image) grep "$names" ;;
        text) grep -v "$names" ;;
        *) grep -E "$4" ;;
        esac | sort
}

# stay|move RANKS FROM TO PART TOWER: are all hashes the same, or every one another?
stay() {
    hashes $1 $2 $4 $5 >from.txt
    hashes $1 $3 $4 $5 >to.txt
    [ "$(wc -l <from.txt)" -ge "${6:-20}" ] || fail "$1 ranks: only $(wc -l <from.txt) tensors of $4 $5"
    same from.txt to.txt
}
move() {
    hashes $1 $2 $4 $5 >from.txt
    hashes $1 $3 $4 $5 >to.txt
    [ "$(wc -l <from.txt)" -ge 20 ] || fail "$1 ranks: only $(wc -l <from.txt) tensors of $4 $5"
    [ -z "$(comm -12 from.txt to.txt)" ] || fail "$1 ranks: did not train: $(comm -12 from.txt to.txt)"
}

embed='class_embedding|conv1|visual.positional|ln_pre'
for n in 1 2 3; do
    for part in model optim/exp_avg optim/exp_avg_sq; do
        stay $n 10 20 $part image
        move $n 10 20 $part text
        move $n 20 30 $part image
        stay $n 20 30 $part text
    done
    stay $n 40 50 model "$embed" 5
    [ -n "$(hashes $n 30 optim/exp_avg "$embed")" ] || fail "$n ranks: moments were not kept"
    # A checkpoint at a border is of the stage that begins.
    [ -z "$(hashes $n 40 optim/exp_avg "$embed")" ] || fail "$n ranks: moments were not dropped"
    move $n 50 60 model image
    move $n 50 60 model text
done
echo "1, 2 and 3 ranks: what is frozen keeps its bits, what trains changes, batches are the stages'"
