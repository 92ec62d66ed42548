"""tests/bench/image.py THAW BENCH_IMAGE FOLDER - Pillow beside thaw, in turns, on one core.

Resize and cut to 224 pixels (as torchvision does it), the same from the JPEG on, and 3,000 JPEGs of 256
pixels from a tar: `thaw pack --codec raw --threads 1` with its tokenizer, against a loop of tarfile,
Pillow and a file of pixels. Rates are of processor time. JSON lines; needs python3-pil and numpy.
"""

import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import time

import numpy as np
from PIL import Image

thaw, bench_image, folder = sys.argv[1:]
SIDE, SECONDS, TURNS, PICTURES = 224, 0.5, 3, 3000


def make_jpeg(path, width, height, seed):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((width, height), Image.BICUBIC)
    noisy = np.asarray(coarse).astype(int) + rng.integers(-6, 7, (height, width, 3))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def cut(picture):
    short = min(picture.size)
    width, height = (SIDE * side // short for side in picture.size)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    return picture.resize((width, height), Image.BICUBIC).crop((left, top, left + SIDE, top + SIDE))


def rate(jpeg, decodes):
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    pixels, count, began = picture.width * picture.height, 0, time.process_time()
    while time.process_time() - began < SECONDS:
        cut(Image.open(io.BytesIO(jpeg)).convert("RGB") if decodes else picture)
        count += 1
    return count * pixels / (time.process_time() - began) / 1e6


def pack_with_thaw(tar, turn):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([thaw, "pack", "--from", f"wds:{tar}", "--to", f"{folder}/pack{turn}", "--codec", "raw", "--bpe",
                    "1000", "--threads", "1"], check=True, capture_output=True)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pack_with_pillow(tar, turn):
    began = time.process_time()
    with tarfile.open(tar) as members, open(f"{folder}/pixels{turn}", "wb") as out:
        for member in members:
            content = members.extractfile(member).read()
            if member.name.endswith(".jpg"):
                out.write(cut(Image.open(io.BytesIO(content)).convert("RGB")).tobytes())
    return time.process_time() - began


def middle(values):
    return sorted(values)[len(values) // 2]


def main():
    for width, height in ((256, 256), (500, 375), (1024, 768)):
        path = f"{folder}/{width}x{height}.jpg"
        make_jpeg(path, width, height, 1)
        ours, theirs = [], []
        for _ in range(TURNS):
            line = subprocess.run([bench_image, path], check=True, capture_output=True).stdout
            ours.append(json.loads(line))
            theirs.append([rate(open(path, "rb").read(), decodes) for decodes in (False, True)])
        for i, name in enumerate(("resize", "decode_resize")):
            a = middle([line[f"{name}_mpixels_per_second"] for line in ours])
            b = middle([rates[i] for rates in theirs])
            print(json.dumps({"benchmark": name, "picture": f"{width}x{height}", "thaw_mpixels_per_second": round(a, 1),
                              "pillow_mpixels_per_second": round(b, 1), "ratio": round(a / b, 2)}), flush=True)  # fmt: skip

    tar = f"{folder}/pictures.tar"
    jpeg = open(f"{folder}/256x256.jpg", "rb").read()
    with tarfile.open(tar, "w") as out:
        for i in range(PICTURES):
            for name, content in ((f"{i:05}.jpg", jpeg), (f"{i:05}.txt", b"a photo of noise, number %d" % i)):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
    ours, theirs = zip(*[(pack_with_thaw(tar, i), pack_with_pillow(tar, i)) for i in range(TURNS)])
    a, b = PICTURES / middle(ours), PICTURES / middle(theirs)
    print(json.dumps({"benchmark": "pack_beside_pillow", "picture": "256x256", "thaw_pictures_per_second": round(a),
                      "pillow_pictures_per_second": round(b), "ratio": round(a / b, 2), "pillow": Image.__version__,
                      "jpeg_bytes": os.path.getsize(f"{folder}/256x256.jpg")}))  # fmt: skip


main()
