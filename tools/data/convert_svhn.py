#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Converts SVHN's cropped digits (train_32x32.mat, test_32x32.mat) to the set svhn of drnas_search:
OUT/train.bin and OUT/test.bin, in CIFAR-10's binary form. Needs the Python package scipy.

A record is one label byte, the digit (label 10 of the files is 0), and 3072 pixel bytes [3, 32, 32].
"""
import argparse
import os
import sys

SIDE = 32
DIGITS = 10


class ConvertError(Exception):
    """A single line that names what is wrong and what was expected."""


def load(file):
    """Images [32, 32, 3, count] of bytes and labels [count], 1 to 10."""
    if not os.path.isfile(file):
        raise ConvertError(f"{file} not found, get it from http://ufldl.stanford.edu/housenumbers")
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ConvertError(f"the Python package scipy cannot be imported ({error}); install it "
                           "with: pip install scipy") from error
    try:
        content = loadmat(file)
        images, labels = content["X"], content["y"].reshape(-1)
    except Exception as error:
        raise ConvertError(f"{file}: holds no images X and labels y ({error})") from error
    expected = (SIDE, SIDE, 3, len(labels))
    if tuple(images.shape) != expected or str(images.dtype) != "uint8":
        raise ConvertError(f"{file}: X is {images.dtype} {list(images.shape)}, expected uint8 "
                           f"{list(expected)}")
    return images, [int(label) for label in labels]


def convert(file, output):
    """Through a temporary file, so that `output` is whole or untouched. Returns how many."""
    images, labels = load(file)
    for i, label in enumerate(labels):
        if not 1 <= label <= DIGITS:
            raise ConvertError(f"{file}: label {label} of image {i}, expected 1 to {DIGITS}")
    planes = images.transpose(3, 2, 0, 1)  # [count, 3, rows, columns]
    temporary = output + ".tmp"
    try:
        with open(temporary, "wb") as out:
            for image, label in zip(planes, labels):
                out.write(bytes([label % DIGITS]) + image.tobytes())
        os.replace(temporary, output)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
    return len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the two files")
    parser.add_argument("--out", required=True, metavar="DIR", help="made where it does not exist")
    options = parser.parse_args()
    try:
        os.makedirs(options.out, exist_ok=True)
        for part in ("train", "test"):
            output = os.path.join(options.out, f"{part}.bin")
            count = convert(os.path.join(options.data, f"{part}_32x32.mat"), output)
            print(f"{output}: {count} images")
    except (ConvertError, OSError) as error:
        print(f"convert_svhn: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
