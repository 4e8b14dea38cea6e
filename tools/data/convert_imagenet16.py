#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Converts ImageNet16's pickles (train_data_batch_1 to train_data_batch_10, val_data) to the set
imagenet16-120 of drnas_search: OUT/train.bin and OUT/test.bin.

Keeps classes 1 to 120. A record is one label byte, 0 to 119, and 768 pixel bytes [3, 16, 16]. Reads
arrays without numpy, and nothing but arrays and plain values: such a pickle runs no code.
"""
import argparse
import os
import pickle
import sys

CLASSES = 120  # of the 1000, by their number
PIXELS = 3 * 16 * 16
TRAIN = [f"train_data_batch_{i}" for i in range(1, 11)]
TEST = ["val_data"]


class ConvertError(Exception):
    """A single line that names what is wrong and what was expected."""


class Type:
    """numpy.dtype: kind, size and byte order of a number."""

    def __init__(self, code, *_):
        self.code, self.order = code, "little"

    def __setstate__(self, state):
        self.order = "big" if state[1] == ">" else "little"

    def numbers(self, data):
        kind, size = self.code[0], int(self.code[1:])
        if kind not in "iu":
            raise ConvertError(f"array of {self.code}, expected integers")
        if (kind, size) == ("u", 1):
            return data
        return [int.from_bytes(data[i:i + size], self.order, signed=kind == "i")
                for i in range(0, len(data), size)]


def as_bytes(data):
    """Pickles of Python 2 hold bytes as text."""
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


class Array:
    """numpy.ndarray."""

    shape, kind, by_columns, data = (0,), None, False, b""

    def __setstate__(self, state):
        _, self.shape, self.kind, self.by_columns, self.data = state

    @classmethod
    def from_buffer(cls, data, kind, shape, order):
        array = cls()
        array.__setstate__((1, shape, kind, order == "F", data))
        return array

    def values(self):
        if self.by_columns and len(self.shape) > 1:
            raise ConvertError("array stored by columns, expected by rows")
        return self.kind.numbers(as_bytes(self.data))


def encode(text, coding="utf-8"):
    """_codecs.encode, by which Python 3 writes bytes into old kinds of pickle."""
    return text.encode(coding)


def scalar(kind, data):
    return kind.numbers(as_bytes(data))[0] if kind.code[0] in "iu" else None


class Reader(pickle.Unpickler):
    KNOWN = {("numpy", "ndarray"): Array, ("numpy", "dtype"): Type, ("_codecs", "encode"): encode,
             ("__builtin__", "bytes"): bytes, ("builtins", "bytes"): bytes}
    for core in ("numpy.core", "numpy._core"):
        KNOWN[f"{core}.multiarray", "_reconstruct"] = lambda *_: Array()
        KNOWN[f"{core}.multiarray", "scalar"] = scalar
        KNOWN[f"{core}.numeric", "_frombuffer"] = Array.from_buffer

    def find_class(self, module, name):
        if (module, name) not in self.KNOWN:
            raise ConvertError(f"holds {module}.{name}, expected arrays and plain values")
        return self.KNOWN[module, name]


def read_batch(file):
    """Pixels, [count, 768] of bytes, and labels from 1 on."""
    if not os.path.isfile(file):
        raise ConvertError(f"{file} not found, expected the pickles of ImageNet16 "
                           "(https://image-net.org/download-images)")
    try:
        with open(file, "rb") as stream:
            batch = Reader(stream, encoding="latin1").load()
        images, labels = batch["data"], batch["labels"]
        labels = list(labels.values() if isinstance(labels, Array) else labels)
        shape, pixels = images.shape, images.values()
    except ConvertError as error:
        raise ConvertError(f"{file}: {error}") from error
    except Exception as error:
        raise ConvertError(f"{file}: is no pickle of images and labels ({error})") from error
    if tuple(shape) != (len(labels), PIXELS) or len(pixels) != len(labels) * PIXELS \
            or not isinstance(pixels, bytes):
        raise ConvertError(f"{file}: images {list(shape)}, expected bytes [{len(labels)}, {PIXELS}] "
                           "for its labels (the release of 16 x 16 pixels)")
    return pixels, labels


def convert(files, output):
    """Through a temporary file, so that `output` is whole or untouched. Returns how many."""
    count, seen = 0, set()
    temporary = output + ".tmp"
    try:
        with open(temporary, "wb") as out:
            for file in files:
                pixels, labels = read_batch(file)
                for i, label in enumerate(labels):
                    if 1 <= label <= CLASSES:
                        out.write(bytes([label - 1]) + pixels[i * PIXELS:(i + 1) * PIXELS])
                        seen.add(label)
                        count += 1
        if len(seen) != CLASSES:
            raise ConvertError(f"{output}: {len(seen)} classes, expected all of 1 to {CLASSES}")
        os.replace(temporary, output)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the pickles")
    parser.add_argument("--out", required=True, metavar="DIR", help="made where it does not exist")
    options = parser.parse_args()
    try:
        os.makedirs(options.out, exist_ok=True)
        for names, part in ((TRAIN, "train.bin"), (TEST, "test.bin")):
            output = os.path.join(options.out, part)
            count = convert([os.path.join(options.data, name) for name in names], output)
            print(f"{output}: {count} images of {CLASSES} classes")
    except (ConvertError, OSError) as error:
        print(f"convert_imagenet16: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
