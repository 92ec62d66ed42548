#!/usr/bin/env bash
# tests/fault/demo_data.sh - the demo's data maker on good input, and on a damaged font and annotations.
#
# A cut or altered font either still gives a data set or is refused with exit 65 and one line that says
# why: never a crash (also under the sanitizers, where this script runs too), never half a data set.
set -euo pipefail
build=$1
emoji=$build/demo/emoji letters=$build/demo/letters
font=/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf
annotations=/usr/share/unicode/cldr/common/annotations

for needed in "$emoji" "$letters" "$font" "$annotations/en.xml"; do
    if [ ! -e "$needed" ]; then
        echo "SKIPPED: no $needed (libexpat1-dev, fonts-noto-color-emoji, unicode-cldr-core)" >&2
        exit 77
    fi
done
work=$(mktemp -d "$build/demo-data-XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

# Good input: the same bytes each time, each sample whole, and names enough to train on.
"$emoji" "$work/one" --json >"$work/report"
"$emoji" "$work/two" >/dev/null
for tar in train held-out new; do
    cmp "$work/one/$tar.tar" "$work/two/$tar.tar" || fail "$tar.tar differs from run to run"
    for ending in png txt json; do
        tar tf "$work/one/$tar.tar" | sed -n "s/\.$ending$//p" >"$work/$tar.$ending"
    done
    cmp "$work/$tar.png" "$work/$tar.txt" && cmp "$work/$tar.png" "$work/$tar.json" ||
        fail "$tar.tar has samples that are not whole"
done
cmp "$work/train.png" "$work/held-out.png" || fail "a picture is missing from a tar"
number() { sed "s/.*\"$1\": \([0-9]*\).*/\1/" "$work/report"; }
[ "$(number pictures)" -ge 1300 ] && [ "$(number languages)" -ge 40 ] || fail "$(cat "$work/report")"
[ "$(number train)" = "$(tar xOf "$work/one/train.tar" --wildcards '*.txt' | wc -l)" ] ||
    fail "train.tar has another number of names than was said"
[ "$(number held_out)" = "$(tar xOf "$work/one/held-out.tar" --wildcards '*.txt' | wc -l)" ] ||
    fail "held-out.tar has another number of names than was said"
share=$((1000 * $(number held_out) / $(number names)))
[ $share -ge 90 ] && [ $share -le 110 ] || fail "$share of 1000 names are held out"
[ "$("$letters" "$work/one" --json | wc -l)" = 2 ] || fail "the letters baseline does not answer twice"
tar xOf "$work/one/train.tar" --wildcards '*.txt' >"$work/names"
while read -r query; do
    grep -qxF -- "$query" "$work/names" || fail "query \"$query\" is no training name"
done <"$work/one/queries.txt"

# What is refused leaves no tar.
refused=0
try() { # <what> <arguments>
    local code=0 what=$1
    shift
    rm -rf "$work/bad"
    "$emoji" "$work/bad" "$@" >"$work/out" 2>"$work/err" || code=$?
    case $code in
    0) ;;
    65) refused=$((refused + 1))
        grep -q 'error: ' "$work/err" || fail "$what: refused without a word"
        ! ls "$work"/bad/*.tar* >/dev/null 2>&1 || fail "$what: refused, but tars were left" ;;
    *) cat "$work/err"; fail "$what: exit $code" ;;
    esac
}

cp "$font" "$work/font.ttf"
size=$(stat -c %s "$font")
RANDOM=7
for i in $(seq 20); do # the tables lie at both ends, so most cuts are there
    at=$((i % 2 ? RANDOM * 8 % 20000 : size - RANDOM * 8 % 120000))
    head -c $at "$font" >"$work/cut.ttf"
    try "font cut at $at" --font "$work/cut.ttf"
done
# A cut in the tables behind the pictures harms nothing: those are half of the cuts at the end.
[ $refused -ge 12 ] || fail "only $refused of 20 cut fonts were refused"

# Bytes of the header, of the character map, of the index of pictures and of the first picture's entry,
# set to 255 one at a time.
begin_of() { # a table's offset stands 8 bytes behind its tag in the header
    local tag_at
    tag_at=$(head -c 400 "$font" | LC_ALL=C grep -abo "$1" | head -n 1 | cut -d: -f1)
    od -An -tu4 --endian=big -j $((tag_at + 8)) -N4 "$font" | tr -d ' '
}
places=("0 300" "$(begin_of cmap) 200" "$(begin_of CBLC) 200" "$(begin_of CBDT) 24")
refused=0
for i in $(seq 32); do
    read -r begin span <<<"${places[i % 4]}"
    at=$((begin + RANDOM % span))
    printf '\377' | dd of="$work/font.ttf" bs=1 seek=$at conv=notrunc status=none
    try "byte $at of the font" --font "$work/font.ttf"
    dd if="$font" of="$work/font.ttf" bs=1 skip=$at seek=$at count=1 conv=notrunc status=none
done
[ $refused -ge 6 ] || fail "only $refused of 32 altered fonts were refused"

mkdir "$work/annotations"
cp "$annotations"/*.xml "$work/annotations"
refused=0
for what in 'truncated' 'no XML' 'named twice in two places'; do
    case $what in
    truncated) head -c 40000 "$annotations/de.xml" ;;
    'no XML') head -c 40000 /dev/zero ;;
    *) sed 's|</annotations>|<annotation cp="{">again</annotation>&|' "$annotations/de.xml" ;;
    esac >"$work/annotations/de.xml"
    try "annotations: $what" --annotations "$work/annotations"
done
[ $refused = 3 ] || fail "only $refused of 3 damaged annotation files were refused"
echo "demo data: good; damaged input is refused"
