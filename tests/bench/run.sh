#!/usr/bin/env bash
# tests/bench/run.sh - every benchmark, as JSON lines on stdout. Not a test: it judges nothing.
#
#     tests/bench/run.sh [NAME ...]       step tiny scaling stages loss loader tokenizer hugging_face pack pillow checkpoint import startup
#
# Takes about ten minutes on two cores, and wants the machine for itself. Figures that are compared are
# measured in turns within one process, or in turns by this script.
set -euo pipefail
cd "$(dirname "$0")/../.."

names=${*:-step tiny scaling stages loss loader tokenizer hugging_face pack pillow checkpoint import startup}
bin=build
scratch=$(mktemp -d build/bench.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
if [ "$(id -u)" = 0 ]; then # Open MPI refuses root unless told twice
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

[ -f $bin/build.ninja ] || cmake -S . -B $bin -G Ninja >&2
ninja -C $bin thaw bench >&2

ranks() { mpirun --quiet --bind-to none -n "$@"; }

# ViT-B/32 with CLIP's text tower, batch 32, one thread: captions of 16 tokens, and all at 77.
step() {
    $bin/bench_step ViT-B-32 32 16 1 3
    $bin/bench_step ViT-B-32 32 77 1 3
}

# Needs python3-pil and numpy of the distribution.
pillow() { mkdir "$scratch/pillow"; /usr/bin/python3 tests/bench/image.py $bin/thaw $bin/bench_image "$scratch/pillow"; }

# Needs what tests/parity/install.sh installs, which it calls.
hugging_face() {
    tests/parity/install.sh $bin >&2 || { [ $? = 77 ] && return 0 || exit 1; } # it has said why
    mkdir "$scratch/hugging_face"
    PYTHONPATH=$bin/parity/site HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 \
        /usr/bin/python3 tests/bench/hugging_face.py $bin/bench_tokenizer "$scratch/hugging_face"
}

tiny() { $bin/bench_step tiny 128 8 1 7; }

# One thread, two threads, two ranks, in turns; the last line is the ratio of the medians.
scaling() {
    local model=$1 batch=$2 tokens=$3 steps=$4 i
    for i in 1 2 3; do
        $bin/bench_step "$model" "$batch" "$tokens" 1 "$steps"
        $bin/bench_step "$model" "$batch" "$tokens" 2 "$steps"
        ranks 2 $bin/bench_step "$model" "$batch" "$tokens" 1 "$steps"
    done | tee "$scratch/scaling"
    awk -v model="$model" '
        function field(name,  rest) {
            rest = substr($0, index($0, "\"" name "\": ") + length(name) + 4)
            return rest + 0
        }
        function median(a, b, c) { return a > b ? (b > c ? b : a > c ? c : a) : (a > c ? a : b > c ? c : b) }
        { t[NR] = field("seconds") }
        END {
            one = median(t[1], t[4], t[7])
            printf "{\"benchmark\": \"scaling\", \"model\": \"%s\", \"two_threads\": %.3f, \"two_ranks\": %.3f}\n",
                model, one / median(t[2], t[5], t[8]), one / median(t[3], t[6], t[9])
        }' "$scratch/scaling"
}

# What freezing buys: all trains, image tower frozen, the same cached, its top two blocks above a cache.
stages() {
    $bin/bench_stages ViT-B-32 32 16 "$scratch" 2
    $bin/bench_stages ViT-B-16 32 16 "$scratch" 1
}

loss() {
    local B
    for B in 4096 8192 32768; do $bin/bench_loss $B 512 2; $bin/bench_loss $B 512 2 sigmoid; done
}

# From the start of the process to the end of its only step: `tiny`, as a singleton and on two ranks.
startup() {
    local i ranks began ended start
    cc -O1 tests/fault/make_data.c -o "$scratch/make_data" -lpng
    mkdir "$scratch/pictures"
    "$scratch/make_data" "$scratch/pictures" 64 >&2
    $bin/thaw pack --from csv:"$scratch/pictures/pictures.tsv" --to "$scratch/pack" --size 64 --bpe 600 >&2
    cat >"$scratch/startup.yaml" <<YAML
model: {preset: tiny}
data: {train: $scratch/pack}
batch: 8
for: 1 step
threads: 1
run_dir: $scratch/run
YAML
    for ranks in 1 2; do
        for i in 1 2 3 4 5; do
            rm -rf "$scratch/run"
            began=$(date +%s.%N)
            if [ $ranks = 1 ]; then start=$bin/thaw; else start="ranks 2 $bin/thaw"; fi
            $start train "$scratch/startup.yaml" 2>/dev/null
            ended=$(date +%s.%N)
            awk -v a="$began" -v b="$ended" -F'"train/step_time": ' \
                '{ split($2, t, ","); printf "%.3f %.3f\n", b - a, t[1] }' "$scratch/run/timings.jsonl"
        done | sort -n | awk -v ranks=$ranks 'NR == 3 {
            printf "{\"benchmark\": \"startup\", \"model\": \"tiny\", \"ranks\": %d, \"seconds\": %.3f, " \
                "\"of_which_the_step\": %.3f}\n", ranks, $1, $2 }'
    done
}

for name in $names; do
    case $name in
    step | tiny | loss | stages) $name ;;
    scaling)
        scaling tiny 128 8 5
        scaling ViT-B-32 32 16 2
        ;;
    loader | pack | checkpoint) $bin/bench_$name "$scratch" ;;
    tokenizer) $bin/bench_tokenizer ;;
    import) $bin/bench_import "$scratch" $bin/thaw ;;
    startup | pillow | hugging_face) $name ;;
    *)
        echo "unknown benchmark $name" >&2
        exit 2
        ;;
    esac
done
