#!/bin/bash
# tests/fault/shard_python.sh BUILD - the example of docs/packs.md, run as it stands there on the pack
# of the test fixture, whose records are known.
set -euo pipefail
build=$(realpath "$1")
docs=$(realpath docs/packs.md)
python=/usr/bin/python3 # the distribution's, which python3-lmdb belongs to
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if ! "$python" -c 'import lmdb' 2>/dev/null; then
    echo "SKIPPED: needs python3-lmdb (apt-get install python3-lmdb)" >&2
    exit 77
fi
"$build/unit_dataloader_pack" "$folder" # 25 records of 10 x 8 pixels, 3 captions each, 3 shards
awk '$0 == "```python" { on = 1; next } /^```/ { on = 0 } on' "$docs" >"$folder/example.py"
[ -s "$folder/example.py" ] || { echo "docs/packs.md has no example"; exit 1; }
"$python" "$folder/example.py" "$folder" >"$folder/got.txt"

# What the fixture wrote: shards of 8, 8 and 9 records.
{
    echo "25 records, 75 captions"
    for i in $(seq 0 24); do
        shard=$((i < 8 ? 0 : i < 16 ? 1 : 2))
        echo "pack-0000$shard.lmdb $((i - 8 * shard)) 10x8 240 $i caption 0 ($i, 0)"
    done
} >"$folder/want.txt"
diff "$folder/want.txt" "$folder/got.txt"

# LMDB's own tool, too.
if command -v mdb_stat >/dev/null; then
    mdb_stat -n "$folder/pack-00002.lmdb" | grep -q 'Entries: 9' || { echo "mdb_stat differs"; exit 1; }
fi
echo "python3-lmdb reads what thaw writes"
