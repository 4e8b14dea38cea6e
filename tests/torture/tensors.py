# SPDX-License-Identifier: MIT
"""Reads safetensors files: 8 bytes of header length, a JSON header, the data."""

import json
import pathlib


class Damaged(Exception):
    """A file that is no safetensors file."""


def read(path):
    """Metadata, and of each tensor its type, shape and bytes."""
    content = pathlib.Path(path).read_bytes()
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise Damaged(f"{path}: cut short, {len(content)} bytes")
    try:
        header = json.loads(content[8:8 + length])
    except ValueError as failure:
        raise Damaged(f"{path}: {failure}") from failure
    metadata, tensors, end = header.pop("__metadata__", {}), {}, 0
    for name, entry in header.items():
        begin, stop = entry["data_offsets"]
        tensors[name] = (entry["dtype"], tuple(entry["shape"]), content[8 + length + begin:8 + length + stop])
        end = max(end, stop)
    if 8 + length + end != len(content):
        raise Damaged(f"{path}: {len(content)} bytes, expected {8 + length + end}")
    return metadata, tensors


def elements(tensor):
    """How many numbers a tensor of read() holds."""
    count = 1
    for side in tensor[1]:
        count *= side
    return count
