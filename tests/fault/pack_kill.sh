#!/usr/bin/env bash
# tests/fault/pack_kill.sh BUILD - `thaw pack` is killed by SIGKILL at random moments, on one rank and on
# two, in the middle of a shard's commit and of the last commit too, and started again by the same
# command. The pack is then, file for file and byte for byte, that of one undisturbed start on one
# rank, and no finished shard was written again. Another command in that folder is refused by name; a
# disk that was full loses nothing.
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
. "$here/../common.bash" "$1"
RANDOM=5 # the seed

mkdir pictures tars alone killed
cc -o make_data "$here/make_data.c" -lpng
./make_data pictures 240
for i in $(seq -w 0 239); do sed -n "s/^0$i.png\t//p" pictures/pictures.tsv >pictures/0$i.txt; done
echo '<html>' >pictures/0017.png # two that are refused
: >pictures/0130.txt
for i in 0 1 2; do
    (cd pictures && tar cf ../tars/$i.tar $(seq -f '%04g' $((80 * i)) $((80 * i + 79)) | sed 's/.*/&.png &.txt/'))
done
head -c $((163840 - 1024 - 492)) tars/2.tar >cut.tar # ends within its last picture
mv cut.tar tars/2.tar

arguments="pack --from wds:tars/*.tar --size 150 --codec zlib --bpe 600 --val 0.2 --shards 8 --threads 1"
expect 0 "$thaw" $arguments --to alone/photos
[ "$(wc -l <alone/photos/quarantine.jsonl)" = 4 ] || fail "not four refused: $(cat alone/photos/quarantine.jsonl)"
[ "$(ls alone/photos/*.lmdb | wc -l)" = 8 ] || fail "not eight shards"
expect 0 "$thaw" inspect alone/photos --verify
expect 0 "$thaw" inspect alone/photos-val --verify

# start RANKS: packs in the background; $job is what was started.
start() {
    if [ "$1" = 1 ]; then
        "$thaw" $arguments --to killed/photos >pack.log 2>&1 &
    else
        mpirun -n "$1" --oversubscribe --bind-to none --quiet "$thaw" $arguments --to killed/photos >pack.log 2>&1 &
    fi
    job=$!
}
ranks_of() { pgrep -P "$1" -f "$thaw" || true; }
is_there() { compgen -G "$1" >/dev/null; }
finished() { (cd "$folder/killed" && ls photos/*.unit 2>/dev/null || true); }

# wait_for_moment ROUND: some milliseconds on, in the middle of a shard's commit, between a shard and
# its record, or in the last commit.
wait_for_moment() {
    local until=$((SECONDS + 5)) before
    before=$(finished | wc -l)
    while kill -0 $job 2>/dev/null && [ $SECONDS -lt $until ]; do
        case $(($1 % 4)) in
        0) sleep "0.$(printf %03d $((RANDOM % 400)))"; return ;;
        1) if is_there 'killed/photos*/*.lmdb.tmp' && [ "$(finished | wc -l)" -gt "$before" ]; then return; fi ;;
        2) if is_there 'killed/photos/*.unit.tmp'; then return; fi ;;
        3) if is_there 'killed/photos-val/dataset.json*' || is_there 'killed/photos/quarantine.jsonl*'; then return; fi ;;
        esac
    done
}

kills=0
for ranks in 1 2; do
    rm -rf killed/*
    for ((round = 0; kills < 6 * ranks && round < 16; round++)); do
        (cd killed && for unit in $(finished); do stat -c '%n %i %y' "${unit%.unit}.lmdb"; done) >shards.log
        start $ranks
        wait_for_moment $round
        pids=$(ranks_of $job)
        victim="$job $pids"
        [ $ranks = 1 ] || [ $((RANDOM % 2)) = 0 ] || [ -z "$pids" ] || victim=$(echo $pids | cut -d' ' -f1)
        kill -KILL $victim 2>/dev/null || true
        code=0
        wait $job 2>/dev/null || code=$?
        for pid in $pids; do
            for ((i = 0; i < 100; i++)); do grep -qs '^State:.[^Z]' /proc/$pid/status || break; sleep 0.1; done
        done
        if [ -e killed/photos/dataset.json ] && [ ! -e killed/photos/unfinished.txt ]; then # the blow came late
            diff -r alone killed >diff.log || fail "on $ranks ranks the pack differs: $(cat diff.log)"
            rm -rf killed/*
            continue
        fi
        [ $code != 0 ] || fail "exit code 0 without a pack"
        kills=$((kills + 1))
        while read -r name stamp; do
            [ "$(stat -c '%i %y' "killed/$name")" = "$stamp" ] || fail "$name was written again in round $round"
        done <shards.log
    done
    if [ $ranks = 1 ]; then expect 0 "$thaw" $arguments --to killed/photos; else expect 0 ranks 2 $arguments --to killed/photos; fi
    diff -r alone killed >diff.log || fail "on $ranks ranks the pack differs: $(cat diff.log)"
done
[ $kills = 12 ] || fail "only $kills kills hit a packer"

# Ranks that nobody kills; with a tokenizer that is there they share the first look as well.
rm -rf killed/*
expect 0 ranks 3 $arguments --to killed/photos
diff -r alone killed >diff.log || fail "three ranks: $(cat diff.log)"
rm -rf killed/*
expect 0 ranks 2 $arguments --to killed/photos --tokenizer alone/photos
diff -r alone killed >diff.log || fail "a given tokenizer: $(cat diff.log)"

# Another command in a folder with unfinished work is refused, naming what differs, and nothing is lost.
rm -rf killed/*
start 1
while [ "$(finished | wc -l)" -lt 3 ] && kill -0 $job; do sleep 0.01; done
kill -KILL $job
wait $job 2>/dev/null || true
expect 65 "$thaw" inspect killed/photos
grep -q 'run the same thaw pack again' last.log || fail "$(cat last.log)"
expect 2 "$thaw" $arguments --to killed/photos --codec raw
grep -q 'begun with codec: zlib, and now it is codec: raw' last.log || fail "$(cat last.log)"
cp tars/0.tar tars/3.tar
expect 2 "$thaw" $arguments --to killed/photos
grep -q 'files of the source: 3, and now it is files of the source: 4' last.log || fail "$(cat last.log)"
rm tars/3.tar
cp tars/0.tar kept.tar
LC_ALL=C sed -i 's/red/RED/' tars/0.tar
expect 2 "$thaw" $arguments --to killed/photos
grep -q 'hash of keys and captions' last.log || fail "$(cat last.log)"
mv kept.tar tars/0.tar

# One rank of two fails: both end with its error, and what is finished stays.
mkdir killed/photos/photos-00007.lmdb.tmp
expect 74 ranks 2 $arguments --to killed/photos
grep -q 'photos-00007.lmdb.tmp": Is a directory' last.log || fail "the rank's error is not said: $(cat last.log)"
rmdir killed/photos/photos-00007.lmdb.tmp

expect 0 "$thaw" $arguments --to killed/photos --threads 2
grep -q 'were done before' last.log || fail "$(cat last.log)"
diff -r alone killed >diff.log || fail "after a refusal: $(cat diff.log)"
expect 2 "$thaw" $arguments --to killed/photos
grep -q 'is a pack already' last.log || fail "$(cat last.log)"

# A full disk, on each number of ranks.
mkdir disk
if ! mount -t tmpfs -o size=1m tmpfs disk 2>/dev/null; then
    echo "SKIPPED: could not mount a tmpfs of 1 MiB; the rest of this test needs root" >&2
    exit 77
fi
trap 'umount -l "$folder/disk"; leave' EXIT
for ranks in 1 2; do
    mount -o remount,size=1m disk
    expect 74 ranks $ranks $arguments --to disk/photos
    grep -q 'No space left on device' last.log || fail "the reason is not named: $(cat last.log)"
    [ ! -e disk/photos/dataset.json ] || fail "a pack on a full disk"
    mount -o remount,size=40m disk
    expect 0 ranks $ranks $arguments --to disk/photos
    grep -q 'were done before' last.log || fail "nothing was kept: $(cat last.log)"
    diff -r alone disk >diff.log || fail "after a full disk: $(cat diff.log)"
    rm -r disk/*
done
echo "$kills kills: the pack is the same"
