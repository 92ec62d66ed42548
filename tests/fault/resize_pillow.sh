#!/bin/bash
# The resize gives Pillow's bits: 600 random pictures, sizes and boxes, three filters, compared byte by byte.
set -eu
build=$1
program=$build/unit_dataloader_resize

for python in python3 /usr/bin/python3; do
    "$python" -c 'import PIL.Image' 2>/dev/null && break
    python=
done
if [ -z "$python" ]; then
    echo "SKIPPED: no Pillow on this machine, so the resize was NOT compared with it." >&2
    echo "         Install python3-pil to run this test." >&2
    exit 77
fi
folder=$(mktemp -d "$build/resize-XXXXXX")
trap 'rm -rf "$folder"' EXIT

"$python" - "$folder/cases" <<'PYTHON'
import random, sys
from PIL import Image

random.seed(5)
filters = getattr(Image, "Resampling", Image)
with open(sys.argv[1], "wb") as out:
    for case in range(600):
        w, h = random.randint(1, 300), random.randint(1, 300)
        to = random.randint(1, 250), random.randint(1, 250)
        picture = Image.frombytes("RGB", (w, h), random.randbytes(w * h * 3))
        kind = case % 4
        if kind == 0:
            box = (0, 0, w, h)
        elif kind == 1:  # whole pixels
            left, top = random.randrange(w), random.randrange(h)
            box = (left, top, random.randint(left + 1, w), random.randint(top + 1, h))
        elif kind == 2:  # fractions
            left, top = random.random() * (w - 0.5), random.random() * (h - 0.5)
            box = (left, top, left + (w - left) * (0.1 + 0.9 * random.random()),
                   top + (h - top) * (0.1 + 0.9 * random.random()))
        else:  # one side keeps its size
            box, to = (0, 0, w, h), random.choice([(w, to[1]), (to[0], h), (w, h)])
        if kind == 3 and case % 8 == 3:  # hard edges overshoot: values are cut at 0 and 255
            picture = picture.point(lambda v: 255 if v > 127 else 0)
        name = ("bicubic", "bilinear", "box")[case // 8 % 3]
        result = picture.resize(to, filters[name.upper()], box=box)
        line = (w, h, *map(float, box), *to)
        out.write((name + " " + " ".join(map(repr, line)) + "\n").encode())
        out.write(picture.tobytes() + result.tobytes())
PYTHON
"$program" "$folder/cases"
