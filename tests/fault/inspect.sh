#!/bin/bash
# tests/fault/inspect.sh BUILD - `thaw inspect` of a good and of a damaged pack, `thaw doctor` of a host that
# is well and of one that is not.
. "$(dirname "$0")/common.bash" "$1"

has() { grep -qE -- "$1" last.log || fail "no \"$1\" in the output"; }

echo 'gone.png	a picture that is not there' >>pictures/pictures.tsv
head -c 20 pictures/0000.png >pictures/cut.png
echo 'cut.png	a picture that is cut' >>pictures/pictures.tsv
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/both --size 16 --codec raw --bpe 600 --shards 2
expect 0 "$thaw" inspect packs/both
has '^records +230, with 460 captions \(2.0 each\)'
has '^pictures +16 pixels$'
has '^stored as +raw, resized by bicubic, normalized as clip'
has '^tokenizer +vocabulary [0-9]+, hash [0-9a-f]{16}'
has '^shards +2, 0.[0-9] MB'
has '^refused +2, named in quarantine.jsonl:'
[ "$(grep -cE '^ +1  [a-z]' last.log)" = 2 ] || fail "the two reasons are not counted"

expect 0 "$thaw" inspect packs/both --verify
has '^verified '
expect 0 "$thaw" inspect packs/both --sample 9 --out sheet.png
[ "$(grep -c '^record ' last.log)" = 9 ] || fail "not nine records"
has '^  a red square at the left  \[[0-9 ]+\]'
[ "$(head -c 8 sheet.png | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "sheet.png is no PNG"

expect 0 "$thaw" inspect packs/both --dump-images dump --limit 3
[ "$(ls dump | wc -l)" = 6 ] || fail "not three pictures and their captions"
[ "$(ls dump/*.png | sed 's/-.*//' | tail -1)" = dump/00000002 ] || fail "not named by record"
[ "$(head -c 8 "$(ls dump/*.png | head -1)" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "no PNG"
[ "$(cat dump/00000000-*.txt | wc -l)" = 2 ] || fail "not one caption a line"
expect 2 "$thaw" inspect packs/both --limit 3

# One byte of a picture, in the middle of the first shard, is turned.
shard=$(ls packs/both/*.lmdb | head -1)
at=$(($(stat -c %s "$shard") / 2))
byte=$(od -An -tu1 -j $at -N 1 "$shard")
printf "\\x$(printf %x $((byte ^ 4)))" | dd of="$shard" bs=1 seek=$at conv=notrunc 2>/dev/null
expect 65 "$thaw" inspect packs/both --verify
has '^NOT GOOD '
has "$(basename "$shard")"

expect 65 "$thaw" inspect pictures
expect 2 "$thaw" inspect
expect 2 "$thaw" inspect packs/train --out x.png

expect 0 "$thaw" doctor run.yaml
for line in mpi openblas products run host binding threads memory /dev/shm disk hdf5; do
    has "^(ok|warn) +$line "
done
has 'OpenMP flavour'
expect 1 "$thaw" doctor run.yaml optimizer.lr=99 # the run file does not hold
has '^FAIL +run '
expect 1 "$thaw" doctor run.yaml data.train=packs/none
has '^FAIL +run .*packs/none'
expect 0 "$thaw" doctor -n 1000 run.yaml
has '^warn +threads +1000 ranks x 1 threads'
has '^warn +memory '
has 'fix: '
cores=$(getconf _NPROCESSORS_ONLN)
if [ "$cores" -gt 1 ] && [ "$(env -u OMP_NUM_THREADS nproc)" = "$cores" ]; then
    expect 0 mpirun -n 1 --bind-to core "$thaw" doctor # one rank that could have all cores
    has "^warn +binding +a rank may run on [0-9]+ of $cores cores"
    has 'bind-to none'
fi
expect 0 ranks 2 doctor
[ "$(grep -c ' host ' last.log)" = 1 ] || fail "more than one rank speaks"
echo "inspect and doctor tell what is well and what is not"
