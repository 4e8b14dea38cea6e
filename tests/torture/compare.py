# SPDX-License-Identifier: MIT
"""Says in what two folders of runs differ, but for what a clock or a file's place puts there."""

import json
import pathlib
import re
import struct
import zlib

import tensors

# Of log.jsonl: what a clock tells.
CLOCK = {"step_ms", "phase_ms", "images_per_second", "seconds"}
# Of config.toml: what changes no result and differs on purpose.
FREE_OPTIONS = re.compile(r"^(checkpoint-every|log-every|quiet) = .*\n", re.MULTILINE)
# A session's record, events with the time in them, what the programs printed, a sweep's lock.
LEFT_OUT = re.compile(r"(^|/)(run\.json|tensorboard/.*|sweep\.lock|seed\d+\.(out|err))$")


def cache_content(path):
    """What a packed data set holds, but for the times of its sources; None where it is damaged."""
    packed = path.read_bytes()
    magic, _, crc, length = struct.unpack("<8sIIQ", packed[:24])
    if magic != b"DRNASSET" or crc != zlib.crc32(packed[16:]):
        return None
    header = json.loads(packed[24:24 + length])
    del header["sources"]
    return header, packed[24 + length:]


def is_temporary(name):
    return "tmp" in pathlib.PurePath(name).name


def temporaries(folder):
    return [path for path in pathlib.Path(folder).rglob("*") if path.is_file() and is_temporary(path.name)]


def files_of(folder):
    names = (path.relative_to(folder).as_posix() for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return {name for name in names if not is_temporary(name) and not LEFT_OUT.search(name)}


def log_lines(path):
    """Epochs without what a clock tells; a text where a line is no JSON."""
    lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")
    if lines.pop():
        return f"{path}: last line without an end"
    try:
        return [{key: value for key, value in json.loads(line).items() if key not in CLOCK} for line in lines]
    except ValueError as failure:
        return f"{path}: {failure}"


def log_difference(first, second):
    a, b = log_lines(first), log_lines(second)
    if isinstance(b, str) or isinstance(a, str):
        return b if isinstance(b, str) else a
    if len(a) != len(b):
        return f"{len(b)} epochs, expected {len(a)}"
    for number, (left, right) in enumerate(zip(a, b), 1):
        fields = [name for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name)]
        if fields:
            return f"line {number}: {fields[0]} {right.get(fields[0])}, expected {left.get(fields[0])}"
    return ""


def tensor_difference(first, second):
    try:
        (old_words, old), (new_words, new) = tensors.read(first), tensors.read(second)
    except tensors.Damaged as failure:
        return str(failure)
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    words = [name for name in sorted(old_words.keys() | new_words.keys()) if old_words.get(name) != new_words.get(name)]
    if names:
        return f"{len(names)} of {len(old)} tensors, first {names[0]}"
    return f"metadata {words[0]}" if words else ""


def difference(name, first, second):
    """Empty where both files are the same but for times."""
    if name.endswith(".safetensors"):
        return tensor_difference(first, second)
    if name.endswith("log.jsonl"):
        return log_difference(first, second)
    a, b = first.read_bytes(), second.read_bytes()
    if name.endswith("config.toml"):
        a, b = (FREE_OPTIONS.sub("", text.decode(errors="replace")) for text in (a, b))
    return "" if a == b else f"{len(b)} bytes that differ from the {len(a)} expected"


def differences(reference, folder):
    """A line for each file that is missing, too many or not the same."""
    reference, folder = pathlib.Path(reference), pathlib.Path(folder)
    old, new = files_of(reference), files_of(folder)
    lines = [f"{name}: missing" for name in sorted(old - new)] + [f"{name}: not expected" for name in sorted(new - old)]
    for name in sorted(old & new):
        what = difference(name, reference / name, folder / name)
        if what:
            lines.append(f"{name}: {what}")
    return lines
