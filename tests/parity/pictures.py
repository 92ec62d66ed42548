"""Called by pictures.sh: writes pictures of every kind, and compares what thaw stored with Pillow and
torchvision. A written rule of thaw's own (docs/packs.md) stands in for Pillow in two places only: alpha
on white, and grey of 16 bits."""

import glob
import json
import math
import os
import struct
import sys
import types
import zlib

import numpy as np
import torchvision.transforms.transforms as transforms
from PIL import Image, ImageOps

rng = np.random.default_rng(7)
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def noise(height, width, *channels, high=256):
    return rng.integers(0, high, (height, width, *channels), np.uint16)


# ---- files that Pillow cannot write


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def scanlines(pixels, depth):
    """Rows of [height, width, channels] as PNG stores them, each behind the filter byte 0."""
    rows = pixels.reshape(len(pixels), -1)
    if depth == 16:
        rows = rows.astype(">u2").view(np.uint8)
    elif depth < 8:
        bits = np.unpackbits(rows.astype(np.uint8)[:, :, None], axis=2)[:, :, 8 - depth :]
        rows = np.packbits(bits.reshape(len(rows), -1), axis=1)
    return b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in rows)


def write_png(path, pixels, depth, kind, interlaced=False, extra=()):
    """kind: PNG's colour type, 0 grey, 2 colours, 3 palette, 4 grey with alpha, 6 colours with alpha."""
    height, width = pixels.shape[:2]
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [pixels[y::dy, x::dx] for x, y, dx, dy in passes]
    data = b"".join(scanlines(part, depth) for part in parts if part.size)
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        out.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)))
        for name, content in extra:
            out.write(chunk(name, content))
        out.write(chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


# ---- the pictures


def make_sizes(folder):
    sizes = [(1, 1), (1, 2), (2, 1), (1, 300), (300, 1), (3, 1000), (1000, 3), (33, 33), (37, 37), (36, 37)]
    sizes += [(37, 36), (38, 37), (37, 38), (64, 64), (65, 64), (64, 65), (63, 64), (500, 375), (375, 500)]
    sizes += [tuple(map(int, rng.integers(1, 400, 2))) for _ in range(60)]
    for width, height in sizes:
        Image.fromarray(noise(height, width, 3).astype(np.uint8)).save(f"{folder}/size_{width}x{height}.png")


def make_png_modes(folder, width=53, height=41):
    palette = (b"PLTE", rng.bytes(3 * 256))
    some_alpha = (b"tRNS", rng.bytes(100))  # the other entries are opaque
    for interlaced in (False, True):
        for depth in (8, 16):
            for kind, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
                name = f"{folder}/png_{kind}_{depth}_{'adam7' if interlaced else 'plain'}.png"
                write_png(name, noise(height, width, channels, high=1 << depth), depth, kind, interlaced)
        name = f"{folder}/palette_8_{'adam7' if interlaced else 'plain'}"
        write_png(name + ".png", noise(height, width, 1), 8, 3, interlaced, [palette])
        write_png(name + "_alpha.png", noise(height, width, 1), 8, 3, interlaced, [palette, some_alpha])
    for depth in (1, 2, 4):
        grey = noise(height, width, 1, high=1 << depth)
        write_png(f"{folder}/grey_{depth}.png", grey, depth, 0)
        palette = (b"PLTE", rng.bytes(3 << depth))
        write_png(f"{folder}/palette_{depth}.png", grey, depth, 3, extra=[palette])
        write_png(f"{folder}/palette_{depth}_alpha.png", grey, depth, 3, extra=[palette, (b"tRNS", b"\0\x80")])
    few = noise(height, width, 3, high=2) * 255
    write_png(f"{folder}/colour_key.png", few, 8, 2, extra=[(b"tRNS", struct.pack(">HHH", 255, 0, 255))])
    write_png(f"{folder}/grey_key.png", few[:, :, :1], 8, 0, extra=[(b"tRNS", struct.pack(">H", 255))])


def smooth(width, height, channels):
    coarse = Image.fromarray(noise(5, 6, 3).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    more = np.concatenate([np.asarray(coarse)] * 2, axis=2)
    return np.ascontiguousarray(more[:, :, :channels])


def make_other_formats(folder, width=71, height=45):
    grey, colours, four = (smooth(width, height, n) for n in (1, 3, 4))
    Image.fromarray(grey[:, :, 0]).save(f"{folder}/grey.jpg", quality=80)
    for sampling in (0, 1, 2):
        for progressive in (False, True):
            name = f"{folder}/sampling_{sampling}_{'progressive' if progressive else 'baseline'}.jpg"
            Image.fromarray(colours).save(name, subsampling=sampling, progressive=progressive)
    Image.fromarray(four, "CMYK").save(f"{folder}/cmyk.jpg", quality=90)
    Image.fromarray(colours).save(f"{folder}/lossy.webp", quality=70)
    Image.fromarray(four, "RGBA").save(f"{folder}/alpha_lossy.webp", quality=70)
    Image.fromarray(four, "RGBA").save(f"{folder}/alpha_lossless.webp", lossless=True, exact=True)
    for orientation in range(10):  # 0 and 9 mean nothing
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "a maker"
        for extension in ("jpg", "png", "webp"):
            name = f"{folder}/orientation_{orientation}.{extension}"
            Image.fromarray(colours).save(name, exif=exif.tobytes())


def make(folder):
    os.makedirs(folder)
    make_sizes(folder)
    make_png_modes(folder)
    make_other_formats(folder)
    names = sorted(os.listdir(folder))
    with open(f"{folder}/pictures.tsv", "w") as table:
        table.write("filepath\ttitle\n" + "".join(f"{name}\t{name}\n" for name in names))


# ---- comparisons


def on_white(picture):
    rgba = np.asarray(picture.convert("RGBA")).astype(np.int64)
    colour, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    # Rounded to nearest: a half cannot occur, as 255 is odd.
    return Image.fromarray(((2 * (colour * alpha + 255 * (255 - alpha)) + 255) // 510).astype(np.uint8))


def prepare(path, image):
    picture = Image.open(path)
    if image["exif"] == "apply":
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # grey of 16 bits: Pillow would cut values at 255
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    picture = on_white(picture) if image["alpha"] == "white" else picture.convert("RGB")
    side = image["size"] + image["margin"]
    filter = transforms.InterpolationMode[image["filter"].upper()]
    return transforms.CenterCrop(side)(transforms.Resize(side, interpolation=filter)(picture))


def compare(packs, dump):
    different = compared = 0
    names = len(glob.glob("pictures/*.*")) - 1  # without the table
    for pack in sorted(os.listdir(packs)):
        image = json.load(open(f"{packs}/{pack}/dataset.json"))["image"]
        texts = sorted(glob.glob(f"{dump}/{pack}/*.txt"))
        if len(texts) != names:
            sys.exit(f"{pack}: {len(texts)} of {names} pictures were packed")
        for text in texts:
            name = open(text).read().strip()
            got = np.asarray(Image.open(text[:-3] + "png"))
            want = np.asarray(prepare(f"pictures/{name}", image))
            compared += 1
            if got.shape != want.shape or (got != want).any():
                off = np.abs(got.astype(int) - want) if got.shape == want.shape else np.array([-1])
                print(f"{pack}: {name}: {(off > 0).mean():.1%} of the values differ, by up to {off.max()}")
                different += 1
    print(f"pictures: {compared} compared with Pillow and torchvision, {different} differ")
    return different


class Number(float):
    def item(self):
        return float(self)


class Draws:
    """Stands in for torch in RandomResizedCrop.get_params: its draws are ours, in double. thaw draws the
    place from left to right first, torchvision from top to bottom."""

    def __init__(self, draws):
        self.draws, self.left = iter(draws), None
        self.log, self.tensor = lambda pair: [math.log(x) for x in pair], lambda pair: pair
        self.empty = lambda _: types.SimpleNamespace(uniform_=self.uniform)
        self.exp = lambda x: Number(math.exp(x))

    def uniform(self, low, high):
        return Number(low + (high - low) * next(self.draws))

    def randint(self, _, end, size):
        if self.left is None:
            self.left, draw = next(self.draws), next(self.draws)
        else:
            draw = self.left
        return Number(int(draw * end))


def boxes(program):
    cases, want = [], []
    for i in range(20000):
        width, height = map(int, rng.integers(1, (3, 50, 1000, 2000)[i % 4], 2) if i % 5 else (1, rng.integers(1, 999)))
        scale = ((0.9, 1.0), (0.08, 1.0), (0.01, 0.02), (1.0, 1.0))[i // 4 % 4]
        ratio = (3 / 4, 4 / 3)
        draws = rng.random(24)
        transforms.torch = Draws(draws)
        picture = types.SimpleNamespace(size=(width, height), mode="RGB")
        transforms.F.get_dimensions = lambda _: (3, height, width)
        top, left, h, w = map(int, transforms.RandomResizedCrop.get_params(picture, scale, ratio))
        want.append((left, top, w, h))
        cases.append([width, height, *scale, *ratio, *draws])
    np.array(cases, np.float64).tofile("boxes.in")
    if os.spawnl(os.P_WAIT, program, program, "boxes.in", "boxes.out") != 0:
        sys.exit("parity_random_box failed")
    got = np.fromfile("boxes.out", np.int32).reshape(-1, 4)
    different = int((got != np.array(want)).any(axis=1).sum())
    print(f"boxes: {len(want)} compared with torchvision, {different} differ")
    return different


command, *words = sys.argv[1:]
sys.exit(1 if {"make": make, "compare": compare, "boxes": boxes}[command](*words) else 0)
