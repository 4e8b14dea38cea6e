# SPDX-License-Identifier: MIT
"""Short runs with extreme data, batches, threads and values: each finishes with finite results or refuses in one line."""

import json
import pathlib
import tempfile
import unittest

import images
import options
import programs
from option_values import DARTS_CELL, WITHOUT_ENDS, replaced

ALL = False  # the longer tables
SIDE = 8
SMALL = ["--dataset", "image-folder", "--data", "few", "--image-size", str(SIDE), "--channels", "4", "--cells", "1",
         "--epochs", "1", "--batch-size", "4", "--quiet"]
DARTS = ["--space", "darts", "--cells", "3"]
DATA = {
    "few": {"classes": 2, "per_class": 4},
    "one-each": {"classes": 10},
    "thousand": {"classes": 1000},
    "one-class": {"classes": 1, "per_class": 4},
    "one": {"classes": 1},
    "grey": {"classes": 2, "per_class": 4, "pixels": lambda rng, side: [128] * (3 * side * side)},
    "black": {"classes": 2, "per_class": 4, "pixels": lambda rng, side: [0] * (3 * side * side)},
}
# Name, program, data, arguments, and what must be: "finish", an option that the refusal names, or "either".
ROWS = [
    ("one image per class", "search", "one-each", [], "finish"),
    ("one image per class, DARTS", "search", "one-each", DARTS, "finish"),
    ("one image per class", "train", "one-each", [], "finish"),
    ("one image per class, DARTS", "train", "one-each", DARTS_CELL, "finish"),
    ("1000 classes", "search", "thousand", ["--batch-size", "64"], "finish"),
    ("1000 classes, DARTS", "search", "thousand", [*DARTS, "--batch-size", "256"], "finish"),
    ("1000 classes", "train", "thousand", ["--batch-size", "64"], "finish"),
    ("one class", "search", "one-class", ["--batch-size", "2"], "finish"),
    ("one class", "train", "one-class", [], "finish"),
    ("one image", "search", "one", [], "either"),
    ("one image", "train", "one", [], "either"),
    ("batch of one", "search", "few", ["--batch-size", "1"], "finish"),
    ("batch of one, DARTS", "search", "few", [*DARTS, "--batch-size", "1"], "finish"),
    ("batch of one, ImageNet stem", "search", "few",
     [*DARTS, "--image-size", "32", "--stem", "imagenet", "--batch-size", "1"], "either"),
    ("batch of one", "train", "few", ["--batch-size", "1"], "finish"),
    ("batch of one, DARTS", "train", "few", [*DARTS_CELL, "--batch-size", "1"], "finish"),
    ("batch of all", "search", "few", ["--batch-size", "4"], "finish"),
    ("batch larger than the data", "search", "few", ["--batch-size", "65536"], "--batch-size"),
    ("batch larger than the data, DARTS", "search", "few", [*DARTS, "--batch-size", "5"], "--batch-size"),
    ("batch larger than the data", "train", "few", ["--batch-size", "65536"], "finish"),
    ("one thread", "search", "few", ["--threads", "1"], "finish"),
    ("one thread, DARTS", "search", "few", [*DARTS, "--threads", "1"], "finish"),
    ("one thread", "train", "few", ["--threads", "1"], "finish"),
    ("no variance", "search", "grey", [], "finish"),
    ("no variance, DARTS", "search", "grey", DARTS, "finish"),
    ("no variance, batch of one", "search", "black", ["--batch-size", "1"], "finish"),
    ("no variance", "train", "grey", [], "finish"),
    ("no variance, DARTS", "train", "black", [*DARTS_CELL, "--batch-size", "1"], "finish"),
    ("all erased", "search", "few", ["--cutout", str(SIDE)], "finish"),
    ("all erased", "train", "few", ["--cutout", str(SIDE)], "finish"),
    ("alpha out of all proportion", "search", "few", ["--alpha-learning-rate", "1e3"], "finish"),
    ("divergence without end", "search", "few", ["--regulariser", "kl", "--lambda", "1e308"], "either"),
    ("smallest differences", "search", "few", ["--hessian", "every=1,step=1e-6,samples=1"], "finish"),
    ("all dropped", "train", "few", [*DARTS_CELL, "--drop-path", "0.9999999999999999", "--epochs", "2"], "finish"),
]
# Each takes more than ten seconds.
LONG_ROWS = [
    ("1000 threads, DARTS", "search", "few", [*DARTS, "--threads", "1000"], "finish"),
    ("1000 threads", "train", "few", ["--threads", "1000"], "finish"),
    ("most threads", "search", "few", ["--threads", "1024"], "finish"),
    ("1000 classes, DARTS", "train", "thousand", [*DARTS_CELL, "--batch-size", "64"], "finish"),
    ("largest images", "search", "few", ["--image-size", "512"], "finish"),
    ("most cells", "search", "few", ["--cells", "100"], "either"),
    ("many channels", "search", "few", ["--channels", "128"], "finish"),
    ("long trajectory", "search", "few", ["--trajectory", "100000"], "finish"),
]
MANY_THREADS = ("1000 threads", "search", "few", ["--threads", "1000"], "finish")
# Their largest values take minutes or the memory of a large machine; their plans are in option_values.py.
COSTLY = {"epochs", "channels", "cells", "image-size", "trajectory", "threads", "batch-size", "train-epochs"}


def arguments(data, more):
    """SMALL with other values where `more` has them."""
    base = replaced(SMALL, "data")
    for word in more:
        if word.startswith("--"):
            base = replaced(base, word[2:])
    return [*base, "--data", data, *last_values(more)]


def last_values(words):
    """Of an option that is there twice the last value."""
    given = {}
    for word in words:
        if word.startswith("--"):
            name, given[word] = word, []
        else:
            given[name] = [word]
    return [word for option, value in given.items() for word in (option, *value)]


def numbers_of(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in numbers_of(part)]
    return [value]


def log_faults(run, epochs):
    """Of a run that has finished: lines that are missing or are no JSON, losses that are not there."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    if len(lines) != epochs:
        return f"{len(lines)} lines of log for {epochs} epochs"
    for line in lines:
        record = json.loads(line, parse_constant=lambda word: f"constant {word}")
        wrong = [value for value in numbers_of(record) if isinstance(value, str) and value.startswith("constant")]
        if wrong or record["train_loss"] is None:
            return f"no finite numbers in {line[:200]}"
    return None


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        for name, data in DATA.items():
            images.write_images(cls.folder / name, **{"side": SIDE, **data})

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def check(self, rows, seconds):
        commands = []
        for number, (_, program, data, more, _) in enumerate(rows):
            commands.append([programs.path(f"drnas_{program}"), *arguments(data, more), "--out", f"{self.id()}-{number}"])
        faults = []
        for row, command, outcome in zip(rows, commands, programs.run_all(commands, self.folder, seconds)):
            fault = programs.fault(outcome, [row[4]] if row[4].startswith("--") else [])
            if fault is None and outcome.status == 0 and row[4] != "either":
                fault = log_faults(self.folder / command[-1], int(command[command.index("--epochs") + 1]))
            if fault is None and (outcome.status == 0) != (row[4] == "finish") and row[4] != "either":
                fault = f"expected {row[4]}: {outcome.said()}"
            if fault:
                faults.append(f"{row[0]}: {fault}")
        self.assertFalse(faults, "\n".join(faults))

    def test_rows(self):
        self.check(ROWS, 60)

    def test_many_threads(self):
        self.check([MANY_THREADS, *(LONG_ROWS if ALL else [])], 600)

    def test_ends_of_numbers(self):
        """The smallest and largest value of each number option, in a run."""
        rows = []
        for program in ("search", "train"):
            path = programs.path(f"drnas_{program}")
            for name, kind in options.options_of(programs.run([path, "--help"], self.folder).out).items():
                if kind not in options.NUMBERS or name in COSTLY or name in WITHOUT_ENDS:
                    continue
                plan = [path, *arguments("few", [f"--{name}", "-1"]), "--dry-run", "--out", "run"]
                for value in options.ends(programs.run(plan, self.folder).err)[0]:
                    for more in ([], DARTS if program == "search" else DARTS_CELL) if ALL else ([],):
                        rows.append((f"{name} {value}", program, "few", [*more, f"--{name}", value], "either"))
        self.assertGreater(len(rows), 40)
        self.check(rows, 60)
