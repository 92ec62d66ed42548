#!/bin/bash
# tests/fault/readme.sh BUILD - README.md's commands as they stand there: the lines of its blocks that begin with
# thaw or mpirun, in their order, and its run file, on pictures of ours. The environment alone makes the model
# small and the run short.
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
. "$here/../common.bash" "$1"

readme=$(realpath "$here/../../README.md")
export PATH="$build:$PATH" OMPI_MCA_rmaps_base_oversubscribe=1
export THAW_MODEL_PRESET=tiny THAW_MODEL_IMAGE_SIZE=224 THAW_MODEL_IMAGE_PATCH=32 THAW_MODEL_IMAGE_WIDTH=32 \
    THAW_MODEL_IMAGE_HEADS=2 THAW_MODEL_TEXT_WIDTH=32 THAW_MODEL_TEXT_HEADS=2 THAW_BATCH=16 THAW_FOR='3 steps' \
    THAW_THREADS=1 THAW_MEMORY_BUDGET='512 MiB'

# What it names: captions.tsv, photos/ with captions beside, data/*.tar, classes.json.
mkdir photos data
cc -o make_data "$here/make_data.c" -lpng
./make_data photos 120
sed '2,$ s|^|photos/|' photos/pictures.tsv >captions.tsv
while IFS=$'\t' read -r picture title; do
    [ "$picture" = filepath ] || echo "$title" >"photos/${picture%.png}.txt"
done <photos/pictures.tsv
rm photos/pictures.tsv
tar -C photos --sort=name -cf data/00000.tar .
titles() { sed -n "2,\$ s|.*\t\(.*\)|\"\1\"|p" captions.tsv | sort -u | paste -sd,; }
echo "{\"classes\": [$(titles)], \"templates\": [\"{c}\"]}" >classes.json

# The blocks of a language ("" for none), and of them the K-th.
blocks() {
    awk -v want="\`\`\`$1" '
        /^```/ { open = !open; inside = open && $0 == want; n += inside; next }
        inside { print n ":" $0 }' "$readme"
}
block() { blocks "$1" | sed -n "s/^$2://p"; }

block yaml 1 >run.yaml
mapfile -t commands < <(blocks "" | sed -n 's/^[0-9]*:\(\(thaw\|mpirun\) .*\)/\1/p')
[ ${#commands[@]} -ge 12 ] || fail "only ${#commands[@]} commands in README.md"
packs=()
for command in "${commands[@]}"; do
    case $command in
    "thaw pack"*)
        rm -rf packs
        packs+=("$command")
        ;;
    *)
        if [ ${#packs[@]} -gt 0 ]; then # the first of them splits off what the run file validates on
            rm -rf packs
            expect 0 bash -c "${packs[0]}"
            packs=()
        fi
        ;;
    esac
    expect 0 bash -c "$command"
    done_so_far=$((${done_so_far:-0} + 1))
done
[ -s sample.png ] && [ -s out.html ] && [ -s photos.h5 ] && [ -e runs/run/DONE ] || fail "something was not written"

# Every option that it shows, and its stages, are known.
{ block yaml 1; block yaml 2; } >staged.yaml
expect 0 thaw plan staged.yaml run_dir=runs/staged
for stage in text top all; do grep -q "^$stage " last.log || fail "no stage $stage in the plan"; done

# What it calls a file of the run directory is one.
for file in config.yaml config.resolved.yaml metrics.jsonl status.json timings.jsonl log.txt env.json; do
    grep -q "\`$file\`" "$readme" || fail "README.md no longer names $file"
    [ -s runs/run/$file ] || fail "the run directory has no $file"
done
echo "$done_so_far commands of README.md, its run file and its stages"
