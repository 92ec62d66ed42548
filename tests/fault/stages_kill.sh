#!/bin/bash
# tests/fault/stages_kill.sh BUILD - a run in stages (text first, then image from the top until a plateau, a
# gradual thaw of both towers, a freeze that keeps moments and one that drops them, everything; batches
# change, and two stages mask duplicates) on two ranks, with the sigmoid loss. It is killed by SIGKILL at 20
# random moments, some of them at the border of a stage or as a group thaws, and restarted by the same command.
# metrics.jsonl and the last checkpoint are then those of the run that was left alone, bit for bit.
. "$(dirname "$0")/common.bash" "$1"

cat >>run.yaml <<'END'
loss: sigmoid
stages:
  - {name: text, train: [text, heads], for: 40 steps, batch: 24}
  - name: top
    train: [text, heads, image.top(1)]
    until: {plateau: train/loss, patience: 5, min: 20 steps, max: 80 steps}
    lr: {image: 1e-4, text: 0.5x}
  - {name: cold, freeze: [image, text], for: 15 steps, batch: 11, lr.over: run, loss.mask_duplicates: true}
  - name: melt
    unfreeze:
      image: {from: top, one_group_every: 15 steps}
      text: {from: bottom, one_group_every: 9 steps}
      warmup: 4 steps
    layer_decay: {image: 0.75}
  - {name: again, freeze: [image.embed, "image.blocks[0]"], for: 40 steps, batch: 50, weight_decay: 0}
  - {name: lost, freeze: text.embed, moments: drop, for: 40 steps, batch: 24, augment: crop, loss.mask_duplicates: true}
  - {name: all, train: all, for: 200 steps, batch: 37}
END
arguments="train run.yaml checkpoint.every=3steps eval.every=20steps"
RANDOM=4 # the seed

expect 0 ranks 2 $arguments run_dir=runs/alone
[ "$(grep -c '"event": "begins"' runs/alone/metrics.jsonl)" = 7 ] || fail "not seven stages began"
top=$(grep '"event": "begins"' runs/alone/metrics.jsonl | sed -n '2p;3p' | grep -o '"step": [0-9]*' |
    sed 's/.* //' | awk '{ n = $1 - last; last = $1 } END { print n }')
[ $top -gt 20 ] && [ $top -lt 80 ] || fail "the stage with a plateau had $top steps: its end is not the plateau's"
[ "$(grep -c '"event": "thaws"' runs/alone/metrics.jsonl)" -ge 4 ] || fail "too few groups thawed"

events() { grep -c '"event"' runs/killed/metrics.jsonl 2>/dev/null || true; }
lines() { { cat runs/killed/metrics.jsonl 2>/dev/null || true; } | wc -l; }

# Waits until the run is where this round kills it: at an event (each third round) or some lines on.
at_event=0
wait_for_moment() {
    local until=$((SECONDS + 20)) before from target
    while [ ! -s run.log ] || ! grep -q 'going on at step\|begins' run.log; do
        kill -0 $job 2>/dev/null && [ $SECONDS -lt $until ] || return 0
        sleep 0.01
    done
    before=$(lines) from=$(events) target=$((before + 1 + RANDOM % 12))
    while kill -0 $job 2>/dev/null && [ $SECONDS -lt $until ]; do
        if [ $((round % 3)) = 0 ]; then
            if [ "$(events)" -gt "$from" ]; then at_event=$((at_event + 1)); return; fi
            if [ "$(lines)" -gt $((before + 60)) ]; then return; fi # the last stage has none
        elif [ "$(lines)" -ge $target ]; then
            sleep "0.00$((RANDOM % 10))"
            return
        fi
    done
}

for ((round = 1; round <= 20; round++)); do
    start_ranks 2 $arguments run_dir=runs/killed
    wait_for_moment
    if kill_ranks; then fail "round $round: the run had ended before it was killed"; fi
    echo "round $round: killed at line $(lines)" >>rounds.log
done
[ $at_event -ge 3 ] || fail "only $at_event of 20 kills were at a stage's border"
resumed=$(grep -c 'going on at step' runs/killed/log.txt) || true
[ "$resumed" -ge 10 ] || fail "only $resumed starts went on from a checkpoint"
stages=$(grep -o 'going on at step.*' runs/killed/log.txt | sed 's/.*in stage//' | sort -u | wc -l)
[ "$stages" -ge 3 ] || fail "starts went on in only $stages of 7 stages"

expect 0 ranks 2 $arguments run_dir=runs/killed
[ -e runs/killed/DONE ] || fail "no DONE"
same runs/alone/metrics.jsonl runs/killed/metrics.jsonl
for run in alone killed; do
    expect 0 "$thaw" ckpt verify runs/$run
    manifest=$(newest runs/$run)
    grep -oE '"(model|optim)/[^"]*": *"[0-9a-f]+"' "${manifest%.h5}.json" | sort >tensors.$run
done
[ "$(grep -c exp_avg_sq tensors.alone)" -gt 50 ] || fail "no hashes of moments in the manifest"
same tensors.alone tensors.killed
cat rounds.log
echo "killed 20 times, $at_event of them at a border or a thaw; resumed $resumed times, in $stages stages: the same bits"
