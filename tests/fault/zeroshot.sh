#!/bin/bash
# tests/fault/zeroshot.sh BUILD - thaw eval --zeroshot sorts the pictures of a pack into classes: both forms
# of the JSON, any number of ranks, a run and its weights, and labels from a file give the same numbers; and the
# page of a query.
. "$(dirname "$0")/common.bash" "$1"

has() { grep -qE -- "$1" last.log || fail "no \"$1\" in the output: $(cat last.log)"; }

expect 0 "$thaw" train run.yaml for=60steps eval.every=never run_dir=runs/first captions=1
expect 0 "$thaw" export runs/first --out open_clip
expect 0 "$thaw" import --from open_clip --out first.h5

# --- the classes are colours; prompts are what the captions are made of ---
colours='["red", "green", "blue", "yellow", "violet", "orange", "black", "grey"]'
templates='['
for shape in square disc bar column cross; do
    for place in left right top bottom middle; do templates="$templates\"a {c} $shape at the $place\", "; done
done
templates="${templates%, }]"
echo "{\"classes\": $colours, \"templates\": $templates}" >classes.json
echo "{\"other\": [\"x\"], \"colours\": $colours}" >en_classnames.json
echo "{\"colours\": ${templates//\{c\}/\{\}}}" >en_templates.json

expect 0 "$thaw" eval runs/first --zeroshot classes.json --json
mv last.log one.json
python=$(command -v /usr/bin/python3 || command -v python3)
"$python" - one.json <<'END' || fail "$(cat one.json)"
import json, sys
r = json.load(open(sys.argv[1]))
assert r["pictures"] > 0 and r["without_class"] == 0 and len(r["classes"]) == 8, r
assert sum(c["pictures"] for c in r["classes"]) == r["pictures"]
seen = [c for c in r["classes"] if c["pictures"]]
assert abs(sum(c["acc1"] * c["pictures"] for c in seen) / r["pictures"] - r["acc1"]) < 1e-6
assert abs(sum(c["acc1"] for c in seen) / len(seen) - r["mean_per_class_recall"]) < 1e-6
assert r["acc1"] > 0.3 and r["acc5"] > r["acc1"], r # chance is 0.125
END
expect 0 ranks 3 eval runs/first --zeroshot classes.json --json
same one.json last.log
expect 0 "$thaw" eval runs/first --zeroshot en_classnames.json --templates en_templates.json --dataset colours --json
same one.json last.log
expect 0 "$thaw" eval first.h5 --data packs/val --zeroshot classes.json --json
same <(sed 's/"step": [0-9]*//' one.json) <(grep '^{' last.log | sed 's/"step": [0-9]*//')
expect 0 "$thaw" eval runs/first --zeroshot classes.json
has '8 classes, 200 prompts'
has 'all; mean over classes'

# --- a picture without a class is left out and counted; one of two classes is refused ---
echo '{"classes": ["red"], "templates": ["a {c} square at the left", "a {c} disc at the left"]}' >few.json
expect 0 "$thaw" eval runs/first --data packs/train --zeroshot few.json
has 'more pictures have no class'
echo '{"classes": ["crimson"], "templates": ["{}"]}' >none.json
expect 65 ranks 2 eval runs/first --zeroshot none.json
has 'belongs to one of the 1 classes'
echo '{"classes": ["red", "rot"], "templates": {"red": ["a red disc at the left"], "rot": ["a red disc at the left"]}}' >two.json
expect 65 "$thaw" eval runs/first --data packs/train --zeroshot two.json
has 'makes it one of class 0 and of class 1'
expect 2 "$thaw" eval runs/first --templates en_templates.json
has 'without --zeroshot'
expect 74 "$thaw" eval runs/first --zeroshot gone.json

# --- labels from a file: the same as by captions, some of them, and what is wrong with them ---
expect 0 "$thaw" inspect packs/val --dump-images dumped
for text in dumped/*.txt; do
    read -r _ colour _ <"$text" # "a red square at the left"
    printf '%s\t%s\n' "$(basename "${text%.txt}")" "$colour"
done >labels.tsv
expect 0 ranks 2 eval runs/first --zeroshot classes.json --labels labels.tsv --json
same one.json last.log
"$python" - <<'END'
import json
rows = [line.rstrip("\n").split("\t") for line in open("labels.tsv")]
colours = json.load(open("classes.json"))["classes"]
json.dump({name.split("-")[1]: colours.index(colour) for name, colour in rows[1:]}, open("labels.json", "w"))
END
expect 0 "$thaw" eval runs/first --zeroshot classes.json --labels labels.json
has '^1 more pictures have no class'
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/all --size 16 --codec raw --tokenizer packs/train --threads 2
expect 0 "$thaw" eval runs/first --data packs/all --zeroshot classes.json --json
mv last.log all.json
sed -nE '2,$s/^([^\t]*)\ta ([a-z]*) .*/pictures.tsv\t\1\t\2/p' pictures/pictures.tsv >sources.tsv
expect 0 "$thaw" eval runs/first --data packs/all --zeroshot classes.json --labels sources.tsv --json
same all.json last.log
sed '2s/\t.*/\tcrimson/' labels.tsv >unknown.tsv
expect 65 ranks 2 eval runs/first --zeroshot classes.json --labels unknown.tsv
has 'line 2 of "unknown.tsv": there is no class "crimson"'
expect 65 "$thaw" eval runs/first --data packs/train --zeroshot classes.json --labels labels.tsv
has 'the pack has no picture'
sed -n '1p;1p' labels.tsv >twice.tsv
expect 65 "$thaw" eval runs/first --zeroshot classes.json --labels twice.tsv
has 'line 2 is of the same picture as 1'
expect 2 "$thaw" eval runs/first --zeroshot classes.json --labels gone.tsv
expect 2 "$thaw" eval runs/first --labels labels.tsv
has 'without --zeroshot'

# --- a page: k pictures for each text, as printed, of a run and of weights ---
expect 0 "$thaw" query runs/first "a red square" "a <blue> & \"disc\"" -k 7 --html out.html
mv last.log printed.log
[ "$(grep -c '^  [ 0-9.-]* *record ' printed.log)" = 14 ] || fail "not 2 x 7 lines: $(cat printed.log)"
"$python" - out.html printed.log <<'END' || fail "the page is not what was printed"
import base64, html.parser, re, sys
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.heads, self.pictures, self.values, self.tag = [], [], [], None
    def handle_starttag(self, tag, attributes):
        self.tag = tag
        if tag == "h2": self.heads.append("")
        if tag == "img": self.pictures.append(dict(attributes)["src"])
    def handle_data(self, data):
        if self.tag == "h2": self.heads[-1] += data.strip()
        if self.tag == "small" and data.strip(): self.values.append(data.strip())
    def handle_endtag(self, tag): self.tag = None
page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
assert page.heads == ["a red square", 'a <blue> & "disc"'], page.heads
assert len(page.pictures) == 14, len(page.pictures)
for picture in page.pictures:
    kind, data = picture.split(",", 1)
    assert kind == "data:image/png;base64" and base64.b64decode(data, validate=True)[:8] == b"\x89PNG\r\n\x1a\n"
printed = re.findall(r"^  +(-?[0-9.]+) +record", open(sys.argv[2]).read(), re.M)
assert page.values == printed, (page.values, printed)
assert printed[:7] == sorted(printed[:7], key=float, reverse=True)
END
mv out.html run.html
expect 0 "$thaw" query first.h5 --data packs/val "a red square" "a <blue> & \"disc\"" -k 7 --html out.html
same <(sed 's/<title>.*<h1>.*//' run.html) <(sed 's/<title>.*<h1>.*//' out.html)
same printed.log <(grep -v '^20' last.log)
expect 2 "$thaw" query first.h5 "a red square"
has 'weights have no pack of their own'
echo "classes and pages are the same by every way"
