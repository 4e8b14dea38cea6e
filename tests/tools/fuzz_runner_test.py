# SPDX-License-Identifier: MIT
"""Tests tests/fuzz/run_fuzz.py with stand-ins for the targets' programs."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

RUNNER = pathlib.Path(__file__).resolve().parents[1] / "fuzz" / "run_fuzz.py"
QUIET = """#!/bin/sh
echo "$@" >"$(dirname "$0")/arguments"
echo stat::number_of_executed_units: 42
"""
LOUD = """#!/bin/sh
echo "==7==ERROR: AddressSanitizer: heap-buffer-overflow"
echo "Test unit written to /somewhere/idx-crash-1"
echo stat::number_of_executed_units: 7
exit 77
"""


class Runner(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        self.programs = self.build / "tests/fuzz"
        self.programs.mkdir(parents=True)
        for target in RUNNER.parent.glob("target_*.cpp"):
            self.put(target.stem.removeprefix("target_"), QUIET)

    def put(self, name, script):
        program = self.programs / f"fuzz_{name}"
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)

    def run_fuzz(self, *arguments):
        return subprocess.run([sys.executable, RUNNER, "--build", self.build, *arguments], text=True,
                              capture_output=True, check=False)

    def test_every_target_runs_and_shares_the_time(self):
        done = self.run_fuzz("--seconds", "70")
        names = [p.name.removeprefix("fuzz_") for p in self.programs.glob("fuzz_*")]
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{len(names)} targets, {42 * len(names)} executions, 0 findings", done.stdout)
        for name in names:
            self.assertRegex(done.stdout, rf"(?m)^{name} +42 executions .* no finding$")
        arguments = (self.programs / "arguments").read_text(encoding="utf-8")
        self.assertIn(f"-max_total_time={round(70 * 2 / len(names))} ", arguments)

    def test_a_finding_is_named(self):
        self.put("idx", LOUD)
        done = self.run_fuzz("--seconds", "2", "idx", "cache")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"idx +7 executions .*/somewhere/idx-crash-1: .*heap-buffer-overflow")
        self.assertIn("2 targets, 49 executions, 1 findings", done.stdout)

    def test_what_cannot_run_is_named(self):
        self.assertIn("nothing: no target", self.run_fuzz("nothing").stderr)
        (self.programs / "fuzz_gzip").unlink()
        self.assertRegex(self.run_fuzz().stderr, "error: .*fuzz_gzip: not built")


if __name__ == "__main__":
    unittest.main()
