# SPDX-License-Identifier: MIT
"""Every option of the programs, as --help lists them, with values at its ends, beyond them, and of another kind."""

import pathlib
import tempfile
import unittest

import images
import options
import programs

# Options that end the program, or that the checks below need themselves.
LEFT_OUT = {"help", "version", "dry-run"}
# Number options whose ends no message of the form that options.ends() reads gives.
WITHOUT_ENDS = {"limit-train", "learning-rate-min", "memory-limit", "cost-weight"}
# Options whose other values are refused without another option.
DARTS_CELL = ["--genotype", "PC_DARTS_cifar", "--image-size", "32", "--cells", "3"]
NEEDS = {("drnas_search", "train-epochs"): ["--then-train"],
         ("drnas_search", "schedule-first"): ["--method", "snas"],
         ("drnas_search", "schedule-last"): ["--method", "snas"],
         ("drnas_search", "select-cells"): ["--select", "sampled"],
         ("drnas_search", "learning-rate"): ["--learning-rate-min", "0"],
         ("drnas_search", "select-tune"): ["--select", "perturbation"],
         ("drnas_search", "max-skips"): ["--method", "p-darts", "--space", "darts", "--stage-cells", "3,3,3",
                                         "--cells", "3"],
         ("drnas_train", "drop-path"): DARTS_CELL,
         ("drnas_train", "auxiliary-weight"): DARTS_CELL}
# A search refuses batches larger than half of its images.
LIMITED_BY_DATA = {"batch-size"}
# What else an error may name: --stage-epochs says how many --epochs there are.
OTHER_NAMES = {"stage-epochs": ["--epochs"], "genotype": ["genotype"]}
PLAN = ["--dataset", "image-folder", "--data", "images", "--image-size", "8", "--channels", "4", "--cells", "1",
        "--batch-size", "4", "--out", "run"]


def replaced(arguments, name):
    """Without the option that is tried: some refuse to be given twice."""
    if f"--{name}" not in arguments:
        return arguments
    at = arguments.index(f"--{name}")
    return arguments[:at] + arguments[at + 2:]


def given(name, value):
    return f"--{name}=".encode() + (value if isinstance(value, bytes) else value.encode())


def names_of(name, kind, value):
    """What an error must hold one of: the option, or of a file the file."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    files = ["".join(c if c.isprintable() else " " for c in text[:40])]  # as an error shows it
    return [f"--{name}", *OTHER_NAMES.get(name, []), *(files if kind in ("FILE", "DIR", "CELL") and text else [])]


class OptionValues(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        images.write_images(self.folder / "images", classes=2, per_class=4)

    def faults(self, commands):
        """Of (command, names, must): what was wrong with each run; `must` is a status, or None for any."""
        outcomes = programs.run_all([command for command, _, _ in commands], self.folder)
        for (_, names, must), outcome in zip(commands, outcomes):
            fault = programs.fault(outcome, names)
            if fault is None and must is not None and outcome.status != must:
                fault = f"expected status {must}: {outcome.said()}"
            if fault:
                yield fault

    def commands(self, program, arguments):
        """Every option with every value, and how many options that were."""
        table = options.options_of(programs.run([program, "--help"], self.folder).out)
        for name, kind in table.items():
            if name in LEFT_OUT:
                continue
            needed = NEEDS.get((program.name, name), [])
            start = [program, *arguments]
            for option in (name, *(word[2:] for word in needed if word.startswith("--"))):
                start = replaced(start, option)
            start += needed
            inside, outside = [], []
            if kind in options.NUMBERS and name not in WITHOUT_ENDS:
                refusal = programs.run([*start, f"--{name}=-1"], self.folder).err
                inside, outside = options.ends(refusal)
                self.assertTrue(inside, f"--{name}: no ends in {refusal!r}; options.ends() or WITHOUT_ENDS must know it")
            accepted = None if name in LIMITED_BY_DATA else 0
            for values, must in ((options.HOSTILE, None), (inside, accepted), (outside, 2)):
                for value in values:
                    yield [*start, given(name, value)], names_of(name, kind, value), must

    def check(self, name, arguments, least_options):
        program = programs.path(name)
        commands = list(self.commands(program, arguments))
        self.assertGreater(len(commands), least_options * len(options.HOSTILE), "options of --help were not found")
        before = images.listing(self.folder)
        faults = list(self.faults(commands))
        self.assertFalse(faults, "\n".join(faults))
        return before

    def test_search(self):
        before = self.check("drnas_search", [*PLAN, "--dry-run"], 40)
        self.assertEqual(images.listing(self.folder), before, "a dry run has written something")

    def test_train(self):
        before = self.check("drnas_train", [*PLAN, "--dry-run"], 30)
        self.assertEqual(images.listing(self.folder), before, "a dry run has written something")

    def test_report(self):
        search = [programs.path("drnas_search"), *PLAN, "--epochs", "1"]
        self.assertEqual(programs.run(search, self.folder).status, 0)
        self.check("drnas_report", ["run"], 3)
        for runs in (["none"], [""], ["x" * 100000], ["run"] * 1000, ["/"], ["images"]):
            self.assertIsNone(programs.fault(programs.run([programs.path("drnas_report"), *runs], self.folder)))
