#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes class-balanced, disjoint lists of an image folder's training images, for drnas_search's
--train-list and --alpha-list.

From each class of DATA/train, the first --share goes to OUT/train.txt and the second to OUT/val.txt,
a line CLASS/IMAGE for each image. The published ImageNet search: --share 0.1 --share 0.025.
"""
import argparse
import fractions
import os
import random
import sys

LISTS = ["train.txt", "val.txt"]
# As drnas_search knows them.
IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tga", ".psd", ".pic", ".pnm", ".ppm", ".pgm"}


class SubsetError(Exception):
    """A single line that names what is wrong and what was expected."""


def share(text):
    """Exact, so that a tenth of 1300 images is 130."""
    try:
        value = fractions.Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = fractions.Fraction(0)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}', expected a number above 0 and up to 1")
    return value


def list_classes(train):
    """Sorted names of each class's images, by class."""
    if not os.path.isdir(train):
        raise SubsetError(f"{train} not found, expected train/<class>/<image>")
    classes = {}
    for name in sorted(os.listdir(train)):
        folder = os.path.join(train, name)
        if name.startswith(".") or not os.path.isdir(folder):
            continue
        images = sorted(image for image in os.listdir(folder)
                        if not image.startswith(".")
                        and os.path.splitext(image)[1].lower() in IMAGES)
        if not images:
            raise SubsetError(f"{folder}: class without images, expected at least one")
        classes[name] = images
    if not classes:
        raise SubsetError(f"{train}: no classes, expected <class>/<image>")
    return classes


def draw(classes, shares, seed):
    """One list of CLASS/IMAGE for each share. A class's draw depends on the seed, its name and its
    images alone."""
    lists = [[] for _ in shares]
    for name, images in classes.items():
        shuffled = list(images)
        random.Random(f"{seed} {name}").shuffle(shuffled)
        first = 0
        for drawn, part in zip(lists, shares):
            count = int(part * len(images) + fractions.Fraction(1, 2))
            if count == 0:
                raise SubsetError(f"class {name}: {float(part)} of its {len(images)} images is "
                                  "none, expected at least one")
            drawn.extend(f"{name}/{image}" for image in sorted(shuffled[first:first + count]))
            first += count
        if first > len(images):
            raise SubsetError(f"class {name}: its shares are {first} images together, expected at "
                              f"most its {len(images)}")
    return lists


def write_list(lines, file):
    """Through a temporary file, so that `file` is whole or untouched."""
    temporary = file + ".tmp"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as out:
        out.writelines(line + "\n" for line in lines)
    os.replace(temporary, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder that holds train/")
    parser.add_argument("--share", required=True, action="append", type=share, metavar="X",
                        help="of each class; give it twice: for train.txt, for val.txt")
    parser.add_argument("--seed", type=int, default=2, metavar="N", help="default 2")
    parser.add_argument("--out", required=True, metavar="DIR", help="made where it does not exist")
    options = parser.parse_args()
    try:
        if len(options.share) != len(LISTS):
            raise SubsetError(f"--share: given {len(options.share)} times, expected twice: for "
                              f"{' and '.join(LISTS)}")
        if sum(options.share) > 1:
            raise SubsetError(f"--share: {float(sum(options.share))} together, expected at most 1")
        classes = list_classes(os.path.join(options.data, "train"))
        lists = draw(classes, options.share, options.seed)
        os.makedirs(options.out, exist_ok=True)
        for lines, name in zip(lists, LISTS):
            file = os.path.join(options.out, name)
            write_list(lines, file)
            print(f"{file}: {len(lines)} images of {len(classes)} classes")
    except (SubsetError, OSError) as error:
        print(f"make_subset: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
