# SPDX-License-Identifier: MIT
"""Runs under --memory-limit 1M, 2M, 4M, ... up to the first that has room, and at the least number of bytes.

What is compared: the engine's peak bytes in log.jsonl with the limit, to the byte, and the most that was resident of the
process (ru_maxrss of wait4) with the limit, the decoded images, which a CPU holds outside the engine, and 64 MiB for
program, libraries, threads and what the pool has reserved beyond the bytes in use."""

import json
import pathlib
import re
import tempfile
import unittest

import images
import programs
from option_values import DARTS_CELL
from runs import DARTS, arguments

MIB = 1 << 20
ROOM, START = 64 * MIB, 48 * MIB
SIDE, CLASSES, PER_CLASS = 32, 4, 16
IMAGES = (CLASSES * PER_CLASS + CLASSES) * (3 * SIDE * SIDE + 4)  # pixels and labels
LARGER = ["--image-size", str(SIDE), "--channels", "16", "--batch-size", "16"]
CASES = {
    "search, NAS-Bench-201": ("search", LARGER),
    "search, NAS-Bench-201, all stored": ("search", [*LARGER, "--raw-outputs", "store"]),
    "search, more threads": ("search", [*LARGER, "--threads", "3"]),
    "search, DARTS": ("search", [*DARTS, *LARGER, "--channels", "8"]),
    "train, NAS-Bench-201": ("train", LARGER),
    "train, a state of 64 MB": ("train", [*LARGER, "--cells", "2", "--channels", "64", "--batch-size", "4"]),
    "train, DARTS": ("train", [*DARTS_CELL, *LARGER, "--channels", "8"]),
}


class MemoryLimits(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        images.write_images(self.folder / "few", CLASSES, PER_CLASS, side=SIDE)

    def run_with(self, case, limit):
        program, more = CASES[case]
        run = f"{case}-{limit}".replace(" ", "-")
        command = [programs.path(f"drnas_{program}"), *arguments("few", more), "--memory-limit", str(limit), "--out", run]
        outcome = programs.run(command, self.folder, 60)
        self.assertIsNone(programs.fault(outcome, ["--memory-limit"]))
        return outcome, self.folder / run

    def check_finished(self, outcome, run, limit):
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
        self.assertEqual(len(lines), 1)
        self.assertLessEqual(json.loads(lines[0])["peak_bytes"]["total"], limit)
        if not programs.SANITIZED:
            self.assertLessEqual(outcome.megabytes * MIB, limit + IMAGES + ROOM, outcome.said())

    def needed(self, outcome, run, limit):
        """Bytes that the refusal names."""
        self.assertFalse(run.exists())
        found = re.search(r"\((\d+) bytes\)", programs.refusal(outcome))
        self.assertIsNotNone(found, outcome.said())
        self.assertGreater(int(found[1]), limit)
        return int(found[1])

    def check_plan(self, case, limit, run):
        """--dry-run prints the same number of bytes, to which a search adds its training images."""
        program, more = CASES[case]
        if program != "search":
            return
        command = [programs.path("drnas_search"), *arguments("few", more), "--memory-limit", str(limit), "--dry-run",
                   "--out", "plan"]
        plan = programs.run(command, self.folder).out
        record = json.loads((run / "log.jsonl").read_text(encoding="utf-8"))
        expected = record["peak_bytes"]["total"] + CLASSES * PER_CLASS * (3 * SIDE * SIDE + 4)
        self.assertIn(f"planned peak bytes {expected} ", plan)

    def test_programs_start_small(self):
        """Libraries that only some runs need are not part of every process, in builds with CUDA either."""
        for name in ("search", "train", "report"):
            outcome = programs.run([programs.path(f"drnas_{name}"), "--version"], self.folder)
            self.assertEqual(outcome.status, 0)
            if not programs.SANITIZED:
                self.assertLessEqual(outcome.megabytes * MIB, START, outcome.said())

    def test_ladder(self):
        for case in CASES:
            with self.subTest(case):
                self.climb(case)

    def climb(self, case):
        limit, needed = MIB, set()
        while True:
            outcome, run = self.run_with(case, limit)
            if outcome.status == 0:
                break
            needed.add(self.needed(outcome, run, limit))
            limit *= 2
            self.assertLess(limit, 1 << 32, "no limit is enough")
        self.check_finished(outcome, run, limit)
        self.check_plan(case, limit, run)
        # All refusals name the same, which is enough, and not a byte less.
        self.assertEqual(len(needed), 1)
        least = needed.pop()
        self.check_finished(*self.run_with(case, least), least)
        outcome, run = self.run_with(case, least - 1)
        self.assertEqual(self.needed(outcome, run, least - 1), least)
