# SPDX-License-Identifier: MIT
"""Small folders of images: DIR/train/CLASS/N.ppm and DIR/test/CLASS/N.ppm."""

import random


def ppm(side, pixels):
    return b"P6\n%d %d\n255\n" % (side, side) + bytes(pixels)


def random_pixels(rng, side):
    return rng.randbytes(3 * side * side)


def write_images(folder, classes, per_class=1, side=8, pixels=random_pixels, seed=1):
    """The same images for training and testing numbers apart; `pixels(rng, side)` makes one."""
    rng = random.Random(seed)
    for part in ("train", "test"):
        for label in range(classes):
            place = folder / part / f"c{label:04}"
            place.mkdir(parents=True)
            for number in range(per_class if part == "train" else 1):
                (place / f"{number}.ppm").write_bytes(ppm(side, pixels(rng, side)))
    return folder


def listing(folder):
    """Names and sizes of all files below."""
    return sorted((str(path), path.stat().st_size) for path in folder.rglob("*"))
