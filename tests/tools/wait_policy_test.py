# SPDX-License-Identifier: MIT
"""The programs let waiting threads sleep, unless the environment says something else:
wait_policy_test.py FOLDER_OF_PROGRAMS"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAMS = pathlib.Path(sys.argv.pop(1)).resolve()
NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
SMALL = ["--dataset", "synthetic", "--channels", "4", "--cells", "1", "--quiet"]


def environment_of(process, run):
    """The variables of NAMES that a process was last started with, once its main() has made the run folder."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (run / "run.json").exists():
        time.sleep(0.01)
    entries = pathlib.Path(f"/proc/{process.pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry.startswith(NAMES))


class WaitPolicy(unittest.TestCase):
    def started(self, program, given):
        clean = {name: value for name, value in os.environ.items() if name not in NAMES}
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen([PROGRAMS / program, *SMALL, "--epochs", "1000", "--out", f"{folder}/run"],
                                       env={**clean, **given}, stdout=subprocess.DEVNULL)
            try:
                found = environment_of(process, pathlib.Path(folder) / "run")
                # The same process under the same name, so that signals and job control find it.
                name = pathlib.Path(f"/proc/{process.pid}/comm").read_text(encoding="utf-8").strip()
                self.assertEqual(name, program)
                return found
            finally:
                process.kill()
                process.wait()

    def test_threads_sleep_by_default(self):
        for program in ("drnas_search", "drnas_train"):
            self.assertEqual(self.started(program, {}), {"GOMP_SPINCOUNT": "2000"})

    def test_the_environment_wins(self):
        for given in ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "passive"}, {"GOMP_SPINCOUNT": "7"}):
            self.assertEqual(self.started("drnas_search", given), given)

    def test_arguments_and_status_pass_through(self):
        done = subprocess.run([PROGRAMS / "drnas_search", "--no such", "a\nb"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--no such", done.stderr)


if __name__ == "__main__":
    unittest.main()
