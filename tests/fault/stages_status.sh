#!/bin/bash
# tests/fault/stages_status.sh BUILD - what `thaw status` says of a run with gradual unfreezing: while it runs,
# when it was asked to stop, when it has stopped, was killed, and is done. The norms of its last line of
# metrics.jsonl are those of the last checkpoint's weights, and a stage ends on one of them.
. "$(dirname "$0")/common.bash" "$1"
python=/usr/bin/python3

cat >>run.yaml <<'END'
stages:
  - {name: text, train: [text, logit_scale], for: 20 steps, lr: {text.embed: 2x}}
  - {name: melt, unfreeze: {tower: image, from: top, one_group_every: 60 steps, warmup: 50 steps}}
  - {name: all, train: all, until: {metric: train/param_norm/text, above: 0, min: 7 steps}}
END

expect 65 "$thaw" status runs/none
grep -q 'is not a run directory' last.log || fail "no run directory, and nothing said"

# start: in the background, on one rank.
start() {
    "$thaw" train run.yaml run_dir=runs/a checkpoint.every=10steps >run.log 2>&1 &
    job=$!
}

# await N: until N groups have thawed.
thaws() { { cat runs/a/metrics.jsonl 2>/dev/null || true; } | grep -c '"thaws"' || true; }
await() {
    local until=$((SECONDS + 20))
    while [ "$(thaws)" -lt "$1" ]; do
        kill -0 $job && [ $SECONDS -lt $until ] || fail "no thaw"
        sleep 0.005
    done
}

# status PYTHON: `s` is what --json prints, by_name its groups.
status() {
    expect 0 "$thaw" status runs/a --json
    cat >status.py <<END
import json, time
s = json.load(open("last.log"))
by_name = {g["groups"]: g for g in s["groups"]}
image = s["image"]["parameters"]
try:
$(sed 's/^/    /' <<<"$1")
except Exception as e:
    raise SystemExit("%r in %s" % (e, json.dumps(s, indent=1)))
END
    "$python" status.py 2>why.log || fail "$1"
}

start
await 1
kill -STOP $job
status '
assert s["state"] == "running" and "pid" in s["owner"], s["owner"]
assert 0 <= time.time() - s["time"] < 60 and s["ranks"] == 1
assert s["stage"]["name"] == "melt" and s["stage"]["number"] == 2 and s["stage"]["of"] == 3
assert s["stage"]["steps"] == 240 and s["steps"] is None and s["step"] == s["stage"]["step"] + 20
assert s["samples_seen"] == 37 * s["step"]
warm = [g for g in s["groups"] if g["state"] == "warming"]
assert len(warm) == 1 and warm[0]["warmup_steps"] == 50, warm
assert warm[0]["warmup_step"] == (s["stage"]["step"]) % 60 < 50, warm
assert warm[0]["lr"] < s["lr"] and warm[0]["groups"] == "image.blocks[1]"
assert by_name["image.embed"]["state"] == "frozen" and "lr" not in by_name["image.embed"]
assert by_name["image.head"]["state"] == by_name["text"]["state"] == "trained"
assert s["text"]["parameters"] == s["text"]["trainable"] == by_name["text"]["parameters"]
frozen = sum(g["parameters"] for g in s["groups"] if g["state"] == "frozen")
assert s["image"]["trainable"] == image - frozen
assert s["checkpoint"]["step"] % 10 == 0'
expect 0 "$thaw" status runs/a
grep -q '^runs/a: running on .* pid' last.log || fail "it runs, and that is not said"
grep -Eq '^stage +melt, 2 of 3: step [0-9]+ of 240$' last.log || fail "no stage"
grep -Eq 'image.blocks\[1\] +warming .* of 50 steps of its warm-up' last.log || fail "no group is warming"
grep -Eq 'image.embed +frozen' last.log || fail "no group is frozen"
expect 0 "$thaw" stop runs/a
status 'assert s["state"] == "stopping"'
kill -CONT $job
code=0
wait $job || code=$?
[ $code = 85 ] || fail "stopped with code $code"
status '
assert s["state"] == "stopped" and s["owner"] is None
assert s["checkpoint"]["step"] == s["step"] and s["loss"] > 0 and s["seconds_per_step"] > 0'

start
await 3
kill -KILL $job
wait $job 2>/dev/null || true
status 'assert s["state"] == "killed" and s["checkpoint"]["step"] <= s["step"] and s["stage"]["step"] >= 180'

expect 0 "$thaw" train run.yaml run_dir=runs/a checkpoint.every=10steps
status '
assert s["state"] == "done" and s["step"] == 20 + 240 + 7 == s["checkpoint"]["step"]
assert s["stage"]["name"] == "all" and s["stage"]["step"] == 7 and s["stage"]["steps"] is None
assert [g["groups"] for g in s["groups"]] == ["image", "text", "logit_scale"], by_name
assert s["image"]["trainable"] == image'
grep -q '"train/lr/groups": {"text.embed": 0.002}' runs/a/metrics.jsonl || fail "no rate of text.embed"
! sed -n 2p runs/a/metrics.jsonl | grep -q grad_norm/image || fail "a frozen tower has a gradient"

# Weights are floats, added up in double: 1e-9 is what nine digits leave.
"$python" - "$(newest runs/a)" <<'END' >norms.log 2>&1 || fail "norms: $(cat norms.log)"
import json, math, sys
try:
    import h5py
except ImportError:
    raise SystemExit(0)  # other tests say that it is missed
import numpy
last = [json.loads(line) for line in open("runs/a/metrics.jsonl") if "train/loss" in line][-1]
file = h5py.File(sys.argv[1])["model"]
names = []
file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
sums = {"image": 0.0, "text": 0.0}
for name in names:
    tower = "image" if name.startswith("visual.") else "text"
    if name != "logit_scale":
        sums[tower] += float((numpy.array(file[name], dtype="float64") ** 2).sum())
for tower, want in sums.items():
    got = last["train/param_norm/" + tower]
    assert abs(got - math.sqrt(want)) <= 2e-9 * got, (tower, got, math.sqrt(want))
    assert last["train/grad_norm/" + tower] > 0
parts = last["train/grad_norm/image"] ** 2 + last["train/grad_norm/text"] ** 2
assert parts <= last["train/grad_norm"] ** 2 * (1 + 1e-8)
END
echo "status: running, stopping, stopped, killed, done"
