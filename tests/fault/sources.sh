#!/usr/bin/env bash
# tests/fault/sources.sh - thaw pack of each kind of source, end to end: as many pictures and captions come
# out as went in, what is refused is named, two ranks give the same pack, and wrong specs end with exit 2 and
# a hint.
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
. "$here/../common.bash" "$1"

mkdir pictures
cc -o make_data "$here/make_data.c" -lpng
./make_data pictures 4
base64_of() { base64 -w0 "pictures/000$1.png"; }

# pack NAME PICTURES CAPTIONS SPEC OPTIONS...: the pack has that many, and as many are in it as were named.
pack() {
    local name=$1 pictures=$2 captions=$3
    shift 3
    expect 0 "$thaw" pack --from "$@" --to "packs/$name" --size 16 --codec raw --bpe 514 --threads 1 --shards 3
    grep -q "packed $pictures of .* into packs/$name " last.log || fail "$name: $(cat last.log)"
    grep -q "^captions $captions," last.log || fail "$name: $(cat last.log)"
    case $name in # two ranks pass by what the other one reads
    folder | csv | coco | metadata | cn_clip | idx)
        expect 0 ranks 2 pack --from "$@" --to "shared/$name" --size 16 --codec raw --bpe 514 --threads 1 --shards 3
        diff -r "packs/$name" "shared/$name" >diff.log || fail "$name on two ranks: $(cat diff.log)"
        ;;
    esac
}

captions=("red one" "green one" "blue one" "yellow one")
for i in 0 1 2 3; do
    mkdir -p folder/$((i % 2)) files/0000$i tars
    cp pictures/000$i.png folder/$((i % 2))/$i.png
    printf '%s\n' "${captions[i]}" >folder/$((i % 2))/$i.txt
    cp pictures/000$i.png files/0000$i/00000000$i.png
    printf '{"caption": "%s"}' "${captions[i]}" >files/0000$i/00000000$i.json
    printf 'json has another' >files/0000$i/00000000$i.txt
done
echo again >>folder/0/0.txt
echo 'and again' >>folder/0/0.txt
for i in 0 1; do tar cf tars/0000$i.tar -C files/0000$i . -C ../0000$((i + 2)) .; done
echo '{}' >tars/00000_stats.json
expect 0 "$thaw" pack --from folder:folder --to packs/json --size 20 --bpe 514 --json
for field in '"packed": 4,' '"captions": 6,' '"enlarged": 4$' '"context": 77,'; do
    grep -q "$field" last.log || fail "the report has no $field: $(cat last.log)"
done

pack folder 4 6 folder:folder
pack files 4 4 img2dataset:files --captions json:caption
pack tars 4 4 img2dataset:tars --captions json:caption
pack wds 4 4 'wds:tars/{00001..00001}.tar::tars/*0.tar' --captions json:caption
cp pictures/0000.png folder/1/none.png
pack refused 4 6 folder:folder
grep -q '1/none.png.*missing caption: ' packs/refused/quarantine.jsonl || fail "not in quarantine"

{ echo 'image,text'; for i in 0 1 2 3; do echo "000$i.png,\"${captions[i]}, said \"\"so\"\"\""; done; echo '0003.png,NA'; } >table.csv
pack csv 4 4 csv:table.csv --csv-img-key image --csv-caption-key text --images pictures
mkdir coco
cat >coco/captions_x.json <<'END'
{"images": [{"id": 1, "file_name": "0000.png"}, {"id": 2, "file_name": "0003.png"}, {"id": 3, "file_name": "none.png"}],
 "annotations": [{"image_id": 1, "caption": "a"}, {"image_id": 2, "caption": "b"}, {"image_id": 1, "caption": "c"},
                 {"image_id": 3, "caption": "d"}]}
END
ln -s ../pictures coco/images
pack coco 2 3 coco:coco/captions_x.json
cat >dataset_coco.json <<'END'
{"images": [{"filepath": "pictures", "filename": "0000.png", "split": "train", "sentences": [{"raw": "a"}, {"raw": "b"}]},
            {"filepath": "pictures", "filename": "0001.png", "split": "test", "sentences": [{"raw": "c"}]}]}
END
pack karpathy 1 1 karpathy:dataset_coco.json --split test
for i in 0 1 2 3; do echo "{\"file_name\": \"000$i.png\", \"text\": \"${captions[i]}\"}"; done >pictures/metadata.jsonl
pack metadata 4 4 metadata:pictures
for i in 0 1 2 3; do printf '000%d.png#0\t%s\n000%d.png#1\tand more\n' $i "${captions[i]}" $i; done >pictures/results.token
pack flickr 4 8 flickr:pictures/results.token
for i in 0 1 2 3; do printf '%d\t%s\n' $i "$(base64_of $i)"; done >cn_imgs.tsv
echo '{"text_id": 1, "text": "all of them", "image_ids": [0, 1, 2, 3, 4]}' >cn_texts.jsonl
pack cn_clip 4 4 cn_clip:cn_imgs.tsv
printf '\0\0\10\3\0\0\0\3\0\0\0\2\0\0\0\2abcdefghijkl' | gzip >images-idx3.gz
printf '\0\0\10\1\0\0\0\3\0\1\2' | gzip >labels-idx1.gz
echo '{"classes": ["red", "green"], "templates": ["{c} one", "a {c} one"]}' >classes.json
pack idx 2 4 idx:images-idx3.gz --classes classes.json
grep -q 'unknown class: label 2' packs/idx/quarantine.jsonl || fail "a label beyond the list is not named"

for name in folder files tars wds csv coco karpathy metadata flickr cn_clip idx; do
    expect 0 "$thaw" inspect packs/$name --verify
done

expect 2 "$thaw" pack --from zip:x --to packs/x
grep -q "known are wds:.*idx:" last.log || fail "the kinds are not listed: $(cat last.log)"
expect 2 "$thaw" pack --from folder:folder --split test --to packs/x
grep -q 'karpathy:dataset_coco.json' last.log || fail "no hint: $(cat last.log)"
head -c 100 dataset_coco.json >cut.json
expect 65 "$thaw" pack --from karpathy:cut.json --to packs/x
expect 2 "$thaw" pack --from coco:nothing.json --to packs/x
[ ! -e packs/x/dataset.json ] || fail "a refused source left a pack"
echo "sources: each kind packs, and what is wrong is named"
