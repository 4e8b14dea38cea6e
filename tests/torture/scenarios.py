# SPDX-License-Identifier: MIT
"""The runs that are attacked: each a kind of search or training, small enough to last a second or two."""

import dataclasses
import os
import random
import shutil
import struct
import sys
import time
import zlib

from harness import Finding, Started

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SWEEP = os.path.join(ROOT, "tools", "drnas_sweep")
SMALL = ("--dataset", "synthetic", "--image-size", "8", "--channels", "4", "--cells", "1", "--batch-size", "16")
DEFINITION = """
title = "Sweep under attack"
seeds = [1, 2]
[options]
dataset = "synthetic"
image-size = 8
channels = 4
cells = 1
batch-size = 16
limit-train = 320
epochs = 3
[grid]
partial-channels = [2, 4]
[table]
columns = ["cifar10", "peak"]
"""
IMAGE_CLASSES, IMAGES, TEST_IMAGES, IMAGE_SIDE = 10, 40, 10, 48


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A kind of run in the folder `run` of a trial. `targets`: parts of file names whose writes are worth a kill."""
    name: str
    program: str
    arguments: tuple
    targets: tuple
    images: bool = False
    many: bool = False  # several runs: the folder itself holds no log

    def first(self, torture, more=()):
        """The command that begins."""
        return [torture.program(self.program), *self.arguments, "--out", "run", *more]

    def again(self, torture, folder, more=()):
        """The command that goes on with what is there: a folder without a configuration was not begun."""
        if (folder / "run" / "config.toml").exists():
            return [torture.program(self.program), "--out", "run", "--resume"]
        return self.first(torture, more)

    def prepare(self, torture, folder):
        """What the run needs beside it."""
        if self.images:
            copy_images(torture, folder / "data")


class SweepScenario(Scenario):
    """Searches of tools/drnas_sweep, two at once."""

    def first(self, torture, more=()):
        return [sys.executable, SWEEP, "definition.toml", "--program", torture.program("drnas_search"), "--jobs", "2",
                "--out", "run"] + [word for name, value in zip(more[::2], more[1::2])
                                   for word in ("--set", f"{name.removeprefix('--')}={value}")]

    def again(self, torture, folder, more=()):
        return self.first(torture, more)

    def prepare(self, torture, folder):
        (folder / "definition.toml").write_text(DEFINITION, encoding="utf-8")


def searching(*more, threads=2):
    return (*SMALL, "--threads", str(threads), *more)


FILES = ("tmp", "checkpoint", "log.jsonl", "genotype", "config.toml", "run.json")
DARTS = ("--space", "darts", "--dataset", "synthetic", "--image-size", "8", "--channels", "4", "--cells", "3",
         "--batch-size", "16", "--threads", "2", "--partial-channels", "2", "--limit-train", "160", "--epochs", "3")
STAGES = ("--partial-channels", "4,2", "--keep-ops", "5,1", "--stage-epochs", "2,3")
ALL = (
    Scenario("search", "drnas_search", searching("--limit-train", "192", "--epochs", "6"), FILES),
    Scenario("stages", "drnas_search", searching("--limit-train", "320", *STAGES, threads=1), FILES),
    Scenario("darts", "drnas_search", DARTS, FILES),
    Scenario("seeds", "drnas_search", searching("--limit-train", "320", "--epochs", "2", "--seeds", "1,2,3"),
             FILES + ("seed-2",), many=True),
    Scenario("then-train", "drnas_search", searching("--limit-train", "320", "--epochs", "2", "--then-train",
                                                     "--train-epochs", "3"), FILES + ("weights", "train")),
    Scenario("training", "drnas_train", searching("--limit-train", "320", "--epochs", "4", threads=1),
             FILES + ("weights",)),
    Scenario("cache", "drnas_search", ("--dataset", "image-folder", "--data", "data", *searching(
        "--image-size", str(IMAGE_SIDE), "--limit-train", "64", "--epochs", "2")[2:]), ("cache", "tmp", "data"),
             images=True),
    Scenario("slow", "drnas_search", ("--dataset", "synthetic", "--channels", "16", "--cells", "1",
                                      "--batch-size", "256", "--threads", "2", "--limit-train", "512", "--epochs", "1"),
             FILES),
    SweepScenario("sweep", "drnas_search", (), FILES + ("seed2", "lock"), many=True),
)


def named(name):
    return next(scenario for scenario in ALL if scenario.name == name)


def png(pixels, side):
    """An RGB image without compression worth the name: its text is as long as its pixels."""
    rows = b"".join(b"\0" + pixels[3 * side * row:3 * side * (row + 1)] for row in range(side))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + kind + data +
                                           struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts)


def make_images(folder):
    """An image folder of noise around a colour of each class."""
    draw = random.Random(1)
    for part, count in (("train", IMAGES), ("test", TEST_IMAGES)):
        for label in range(IMAGE_CLASSES):
            place = folder / part / f"class{label}"
            place.mkdir(parents=True)
            for number in range(count):
                noise = draw.randbytes(3 * IMAGE_SIDE * IMAGE_SIDE)
                pixels = bytes((value >> 1) + 12 * label for value in noise)
                (place / f"{number}.png").write_bytes(png(pixels, IMAGE_SIDE))


def copy_images(torture, target):
    """The same images."""
    source = torture.work / "images"
    if not source.exists():
        make_images(source)
    shutil.copytree(source, target, copy_function=os.link)


class Reference:
    """What a run makes that nothing befalls, and how long it took."""

    def __init__(self, torture, scenario, more):
        self.folder = torture.work / "reference" / "-".join([scenario.name, *map(str, more)]).replace("/", "-")
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        scenario.prepare(torture, self.folder)
        began = time.monotonic()
        started = Started(scenario.first(torture, more), self.folder, 1)
        status = started.wait()
        self.seconds = time.monotonic() - began
        if status != 0:
            raise Finding(f"reference {scenario.name}: status {status}: {started.errors()}")

    @property
    def run(self):
        return self.folder / "run"


def reference(torture, scenario, more=()):
    """Made once."""
    known = torture.__dict__.setdefault("references", {})
    key = (scenario.name, *more)
    if key not in known:
        known[key] = Reference(torture, scenario, more)
    return known[key]
