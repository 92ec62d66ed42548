#!/bin/bash
# tests/fault/stages_examples.sh BUILD - each run file of launch/examples/ runs, on two ranks and a narrow
# model with the depth of the real one: sizes and packs come from the command line, and lengths and batches
# are made small. What it is an example of is then looked for in metrics.jsonl and the checkpoints.
. "$(dirname "$0")/common.bash" "$1"

examples=$(realpath "$here/../../launch/examples")
narrow="model.preset=tiny model.image.size=16 model.image.patch=8 model.image.width=32 model.image.layers=12
    model.image.heads=2 model.text.context=16 model.text.width=32 model.text.layers=12 model.text.heads=2
    model.embed=16 data.train=packs/train data.val=packs/val batch=24 threads=1 memory_budget=256MiB
    checkpoint.every=6steps checkpoint.keep=99"

# example NAME: runs it; an epoch, and any number of steps, are six.
example() {
    sed -E 's/: [0-9.]+ (epochs?|steps)/: 6 steps/g; s/max: 6 steps/max: 24 steps/
            s/batch: (4096|2048)/batch: 40/; s/batch: 1024/batch: 24/' "$examples/$1.yaml" >$1.yaml
    expect 0 ranks 2 train $1.yaml $narrow
    [ -e runs/$1/DONE ] || fail "$1: no DONE"
    [ "$(grep -oE 'name: [a-z]+' "$examples/$1.yaml" | sed 's/name: //' | tr '\n' ' ')" = "$(stages $1)" ] ||
        fail "$1: the stages were $(stages $1)"
    ran="${ran:-} $1"
}

events() { grep "\"event\": \"$2\"" runs/$1/metrics.jsonl || true; }
stages() { events $1 begins | grep -o '"stage": "[a-z]*"' | sed 's/.*: "//; s/"//' | tr '\n' ' '; }
numbers() { grep -o "\"$1\": [0-9]*" | sed 's/.*: //' | tr '\n' ' '; }
batches() { metric samples_seen runs/$1 | awk '{ print $1 - last; last = $1 }' | uniq | tr '\n' ' '; }

# hashes NAME STEP PATTERN: of the weights whose names match.
hashes() {
    grep -oE '"model/[^"]*": *"[0-9a-f]+"' "$(printf 'runs/%s/ckpt/step-%08d.json' $1 $2)" | grep -E "$3" | sort
}

example lit
hashes lit 0 'visual\.' | grep -v visual.proj >locked.before
hashes lit 6 'visual\.' | grep -v visual.proj >locked.after
[ "$(wc -l <locked.before)" -gt 100 ] || fail "lit: too few locked weights"
same locked.before locked.after
[ -z "$(comm -12 <(hashes lit 0 '/transformer') <(hashes lit 6 '/transformer'))" ] || fail "lit: text did not train"

example text_then_image
[ "$(batches text_then_image)" = "40 24 " ] || fail "batches were $(batches text_then_image)"
last=$(metric step runs/text_then_image | tail -1)
[ $last -ge 12 ] && [ $last -le 30 ] || fail "text_then_image: $last steps"
[ -n "$(comm -12 <(hashes text_then_image 0 'visual.*\.8\.') <(hashes text_then_image 12 'visual.*\.8\.'))" ] ||
    fail "text_then_image: block 8 trained"
[ -z "$(comm -12 <(hashes text_then_image 6 'visual.*\.9\.') <(hashes text_then_image 12 'visual.*\.9\.'))" ] ||
    fail "text_then_image: block 9 did not train"

# 13 groups of each tower are frozen when the melt begins; the first ones thaw with it.
example gradual
[ "$(events gradual thaws | wc -l)" = 24 ] || fail "gradual: $(events gradual thaws | wc -l) groups thawed"
events gradual thaws | grep -o '"group": "[^"]*"' | sed -n '1p;2p;23p;24p' | sed 's/.*: //' | tr '\n' ' ' >order.txt
grep -q '"text.blocks\[10\]" "image.blocks\[10\]" "text.embed" "image.embed"' order.txt ||
    fail "gradual: the order was $(cat order.txt)"
[ "$(metric step runs/gradual | tail -1)" = $((6 + 13 * 6 + 6)) ] || fail "gradual: the melt has another length"

example refreeze
events refreeze begins | numbers trainable/image | awk '{ exit !($1 > $2 && $2 > $3 && $3 < $4 && $4 == $1) }' ||
    fail "refreeze: what trains is $(events refreeze begins | numbers trainable/image)"
grep -q exp_avg_sq/visual.conv1 runs/refreeze/ckpt/step-00000012.json || fail "refreeze: moments were not kept"
[ "$(batches refreeze)" = "24 40 " ] || fail "refreeze: batches were $(batches refreeze)"
# One warm-up and one cosine over the first three stages: the rate falls from step to step.
metric train/lr runs/refreeze | sed -n '7,18p' | awk 'NR > 1 && $1 >= last { exit 1 } { last = $1 }' ||
    fail "refreeze: the rate began anew"

# minilm wants a pretrained encoder, so tests/parity/minilm.sh runs it; fashion_mnist.sh runs the other.
ran="$ran minilm fashion_mnist"
[ "$(cd "$examples" && ls *.yaml)" = "$(for name in $ran; do echo $name.yaml; done | sort)" ] || fail "not all examples were run"
echo "examples run:$ran"
