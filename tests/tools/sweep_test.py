# SPDX-License-Identifier: MIT
"""tools/drnas_sweep with a stand-in of drnas_search: what it runs, and that no end of it loses anything."""

import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
SWEEP = ROOT / "tools" / "drnas_sweep"
sys.path[:0] = [str(ROOT / "tools" / "sweep"), str(ROOT / "tools" / "gpu")]
sys.dont_write_bytecode = True

import sweep_definition  # noqa: E402  pylint: disable=wrong-import-position
import sweep_folder  # noqa: E402  pylint: disable=wrong-import-position
import sweep_memory  # noqa: E402  pylint: disable=wrong-import-position
import sweep_runner  # noqa: E402  pylint: disable=wrong-import-position

PATIENCE = 60.0  # of a step that should take a moment
DEFINITION = """
title = "Test"
seeds = [1, 2]
[options]
epochs = 3
none-op = true
[grid]
lambda = [0, 1e-2]
partial-channels = [1, [4, 2]]
"""
LISTED = """
title = "Test"
seeds = [1]
[[rows]]
name = "good"
[[rows]]
name = "other: one"
cells = 2
"""


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("nothing happened")
        time.sleep(0.01)


class SweepCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "out"
        self.starts, self.hold = self.folder / "starts", self.folder / "hold"
        environment = {"FAKE_STARTS": str(self.starts), "FAKE_HOLD": str(self.hold)}
        changed = unittest.mock.patch.dict(os.environ, environment)
        changed.start()
        self.addCleanup(changed.stop)
        self.program = self.folder / "fake_search"
        fake = (ROOT / "tests" / "tools" / "sweep_fake.py").read_text(encoding="utf-8")
        self.program.write_text(f"#!{sys.executable}\n{fake}", encoding="utf-8")
        self.program.chmod(0o755)

    def command(self, definition, *more):
        path = self.folder / "test.toml"
        path.write_text(definition, encoding="utf-8")
        return [sys.executable, str(SWEEP), str(path), "--program", str(self.program), "--out", str(self.out), *more]

    def sweep(self, definition, *more, expected=0):
        done = subprocess.run(self.command(definition, *more), capture_output=True, text=True, check=False,
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        return done

    def started(self):
        return self.starts.read_text().splitlines() if self.starts.exists() else []

    def log(self, run):
        path = self.out / run / "log.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def epochs(self, run):
        return [epoch["epoch"] for epoch in self.log(run)]

    @contextlib.contextmanager
    def running(self, definition):
        """A sweep whose two runs are held after their first epoch, until `hold` is gone."""
        self.hold.touch()
        with subprocess.Popen(self.command(definition, "--jobs", "2"), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            try:
                wait_until(lambda: len([log for log in self.out.glob("*/*/log.jsonl") if log.stat().st_size]) == 2)
                yield process
            finally:
                process.kill()
                self.hold.unlink(missing_ok=True)

    def pid(self, run):
        return int((self.out / run / "pid").read_text())

    def lock_is_free(self):
        with open(self.out / "sweep.lock", "rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True


class Runs(SweepCase):
    def test_every_combination_runs_once_with_its_options_and_is_kept(self):
        self.sweep(DEFINITION, "--set", "regulariser=kl")
        names = {"lambda-0-partial-channels-1": (0, [1]), "lambda-0-partial-channels-4-2": (0, [4, 2]),
                 "lambda-0.01-partial-channels-1": (0.01, [1]), "lambda-0.01-partial-channels-4-2": (0.01, [4, 2])}
        self.assertEqual({path.name for path in self.out.iterdir() if path.is_dir()}, set(names))
        for (name, (weight, parts)), seed in itertools.product(names.items(), (1, 2)):
            stored = sweep_folder.stored_options(self.out / name / f"seed{seed}" / "config.toml")
            self.assertEqual((stored["lambda"], stored["partial-channels"], stored["seed"]), (weight, parts, seed))
            self.assertEqual((stored["regulariser"], stored["none-op"], stored["threads"]), ("kl", True, 1))
            self.assertEqual(self.epochs(f"{name}/seed{seed}"), [1, 2, 3])
        self.assertEqual(len(self.started()), 8)
        again = self.sweep(DEFINITION, "--set", "regulariser=kl")
        self.assertEqual(again.stdout.count("kept "), 8)
        self.assertEqual(len(self.started()), 8)

    def test_dry_run_starts_and_writes_nothing(self):
        done = self.sweep(DEFINITION, "--dry-run")
        self.assertEqual(done.stdout.count("0 of 3 epochs, 16.0 MiB"), 8)
        self.assertFalse(self.out.exists())
        self.assertEqual(self.started(), [])

    def test_progress_tells_each_change_and_a_total(self):
        lines = self.sweep(LISTED, "--jobs", "1").stdout.splitlines()
        for line in ("started good, seed 1", "done    good, seed 1", "started other: one, seed 1"):
            self.assertIn(line, lines)
        totals = [line for line in lines if line.startswith("total ")]
        self.assertRegex(totals[-1], r"^total   2/2 runs, 0 running, 0 failed, [\d.]+ epochs a minute, 0:00 left$")

    def test_a_search_that_stopped_on_a_warning_is_finished(self):
        self.sweep(LISTED, "--set", "stop-on=skip", "--json", str(self.folder / "sweep.json"))
        self.assertEqual(self.epochs("good/seed1"), [1, 2])
        result = json.loads((self.folder / "sweep.json").read_text())["runs"][0]
        self.assertEqual((result["genotype"], result["stopped_on"], result["epochs"]), ("cell 1 1", "skip", 2))
        self.sweep(LISTED, "--set", "stop-on=skip")
        self.assertEqual(len(self.started()), 2)

    def test_a_selected_cell_counts_and_a_selection_without_end_is_resumed(self):
        arguments = ("--set", "select=perturbation", "--json", str(self.folder / "sweep.json"))
        self.sweep(LISTED, *arguments)
        result = json.loads((self.folder / "sweep.json").read_text())["runs"][0]
        self.assertEqual((result["genotype"], result["cifar10"]), ("selected 1", 51))
        (self.out / "good/seed1/selection.jsonl").write_text('{"decision":1}\n')  # as a kill leaves it
        self.sweep(LISTED, *arguments)
        self.assertEqual(self.started()[2:], ["good/seed1 resume"])
        again = json.loads((self.folder / "sweep.json").read_text())["runs"][0]
        self.assertEqual(again["genotype"], "selected 1")


class Restart(SweepCase):
    def whole_logs(self):
        """What both rows log where nothing is interrupted."""
        whole, self.out = self.out, self.folder / "whole"
        self.sweep(LISTED)
        logs = [self.log("good/seed1"), self.log("other-one/seed1")]
        self.starts.unlink()
        self.out = whole
        return logs

    def check_goes_on(self, logs):
        self.assertEqual([self.epochs("good/seed1"), self.epochs("other-one/seed1")], [[1], [1]])
        self.sweep(LISTED)
        self.assertEqual([self.log("good/seed1"), self.log("other-one/seed1")], logs)
        self.assertEqual(sorted(self.started())[1::2], ["good/seed1 resume", "other-one/seed1 resume"])

    def test_ctrl_c_stops_the_runs_and_waits_for_them(self):
        logs = self.whole_logs()
        with self.running(LISTED) as process:
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, 128 + signal.SIGINT)
            self.assertTrue(self.lock_is_free())
        self.assertEqual(output.count("stopped "), 2)
        self.assertIn("0/1", output)  # the table is there
        for name in ("good", "other-one"):
            self.assertIn("stopped after some epochs", (self.out / name / "seed1.err").read_text())
        self.check_goes_on(logs)

    def test_runs_of_a_killed_sweep_stop_and_go_on(self):
        logs = self.whole_logs()
        with self.running(LISTED) as process:
            pid = self.pid("good/seed1")
            os.kill(pid, signal.SIGSTOP)  # one that takes long to end
            try:
                process.kill()
                process.wait()
                self.assertIn("a run that it started, still writes", self.sweep(LISTED, expected=2).stderr)
            finally:
                os.kill(pid, signal.SIGCONT)
        wait_until(self.lock_is_free)
        for name in ("good", "other-one"):
            self.assertIn("stopped after some epochs", (self.out / name / "seed1.err").read_text())
        self.check_goes_on(logs)

    def test_a_folder_left_empty_and_a_log_line_cut_short(self):
        (self.out / "good" / "seed1").mkdir(parents=True)
        self.sweep(LISTED)
        self.assertEqual(self.epochs("good/seed1"), [1, 2, 3])
        run = sweep_folder.Run(sweep_definition.Row("good", {}, {}), 1, self.out / "good" / "seed1", epochs=3)
        self.assertTrue(run.finished())
        log = run.path / "log.jsonl"
        log.write_text(log.read_text()[:-5])
        self.assertEqual([epoch["epoch"] for epoch in run.log()], [1, 2])
        self.assertFalse(run.finished())

    def test_a_second_sweep_is_refused_while_one_writes(self):
        with self.running(LISTED):
            self.assertIn("another sweep", self.sweep(LISTED, expected=2).stderr)


class Failures(SweepCase):
    def test_a_failed_run_is_reported_once_and_the_others_go_on(self):
        definition = LISTED.replace("cells = 2", "cells = 13") + '[[rows]]\nname = "last"\n'
        done = self.sweep(definition, "--jobs", "1", expected=1)
        self.assertEqual(done.stderr, "error: other: one, seed 1: error: thirteen cells\n")
        self.assertEqual([self.epochs(f"{name}/seed1") for name in ("good", "other-one", "last")],
                         [[1, 2, 3], [1], [1, 2, 3]])
        self.assertEqual(len(self.started()), 3)

    def test_a_killed_run_is_a_failure_and_goes_on_in_the_next_sweep(self):
        with self.running(LISTED) as process:
            os.kill(self.pid("good/seed1"), signal.SIGKILL)
            self.hold.unlink()
            _, errors = process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, 1)
        self.assertRegex(errors, r"^error: good, seed 1: ended with status -9\n$")
        self.sweep(LISTED)
        self.assertEqual([self.epochs("good/seed1"), self.epochs("other-one/seed1")], [[1, 2, 3]] * 2)

    def test_a_changed_definition_names_the_option_and_leaves_the_folder(self):
        self.sweep(LISTED)
        before = {path: path.read_bytes() for path in self.out.rglob("*") if path.is_file()}
        for change, message in (("cells = 3", "--cells 3: expected 2"),
                                ('cells = 2\nregulariser = "kl"', "--regulariser kl: expected l2")):
            done = self.sweep(LISTED.replace("cells = 2", change), expected=2)
            self.assertIn(message, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)
        self.assertEqual(before, {path: path.read_bytes() for path in self.out.rglob("*") if path.is_file()})

    def test_what_does_not_fit_alone_names_both_numbers(self):
        done = self.sweep(LISTED.replace("cells = 2", f"channels = {1 << 30}"), expected=2)
        self.assertRegex(done.stderr, r"^error: other: one, seed 1: needs 1073741952\.0 MiB \(1073741824\.0 MiB "
                                      r"planned\), expected at most the [\d.]+ MiB that are free\n$")
        self.assertFalse(self.out.exists())

    def test_an_unknown_option_names_row_and_option(self):
        done = self.sweep(LISTED.replace("cells", "sells"), expected=2)
        self.assertEqual(done.stderr, "error: row 'other: one': error: --sells: unknown option\n")

    def test_wrong_definitions_are_one_line(self):
        listed = [("seeds = [1]", text, message) for text, message in (
            ("seeds = [1, 1]", "seeds"), ("seeds = [1.5]", "seeds"), ("", "seeds"), ("seeds = ", "no TOML"),
            ("colour = 1\nseeds = [1]", "unknown key 'colour'"), ("seeds = [1]\n[grid]\nlambda = [1]", "either"),
            ("seeds = [1]\n[table]\ncolumns = ['speed']", "'speed'"),
            ("seeds = [1]\n[options]\nthreads = 2", "'threads'"),
            ("seeds = [1]\n[paper.better]\npeak = 1", 'paper."better"'),
            ("seeds = [1]\n[paper.good]\nspeed = 1", "'speed'"))]
        rows = [('name = "other: one"', text, message) for text, message in (
            ('name = "good"', "row 'good'"), ("name = 3", "expected a name"), ('name = ": "', "folder ''"),
            ('name = "seeded"\nseed = 4', "'seed'"), ('name = "day"\nlambda = 2026-01-01', "'lambda'"))]
        path = self.folder / "wrong.toml"
        for before, after, message in listed + rows + [('title = "Test"', "", "title")]:
            path.write_text(LISTED.replace(before, after), encoding="utf-8")
            with self.assertRaises(sweep_definition.SweepError) as caught:
                sweep_definition.load(path)
            text = str(caught.exception)
            self.assertIn(message, text)
            self.assertIn(str(path), text)
            self.assertNotIn("\n", text)

    def test_wrong_settings(self):
        self.assertIn("--set cells", self.sweep(LISTED, "--set", "cells=5", expected=2).stderr)
        self.assertIn("NAME=VALUE", self.sweep(LISTED, "--set", "cells", expected=2).stderr)


class Room(SweepCase):
    def peak_runs(self, free_mebibytes, jobs):
        """The most runs at once where so much memory is free, each needing 16 + 128 MiB."""
        path = self.folder / "test.toml"
        path.write_text(DEFINITION, encoding="utf-8")
        definition = sweep_definition.load(path)
        self.out = self.folder / f"out-{free_mebibytes}-{jobs}"
        runs = sweep_folder.runs_of(definition, self.out)
        sweep_runner.plan(str(self.program), definition, runs, 1)
        memory = sweep_memory.Memory("cpu", lambda: free_mebibytes << 20)
        counts = []
        command = sweep_runner.run_command(str(self.program), definition, 1)
        runner = sweep_runner.Runner(command, memory, jobs, sweep_folder.Lock(self.out),
                                     lambda line: counts.append(len(runner.children)))
        self.assertEqual(runner.run(runs), 0)
        return max(counts), runner.failures

    def test_runs_at_once_fit_into_memory_and_jobs(self):
        self.assertEqual(self.peak_runs(4 * 144 - 1, 8), (3, {}))
        self.assertEqual(self.peak_runs(4 * 144, 8), (4, {}))
        self.assertEqual(self.peak_runs(10000, 2), (2, {}))

    def test_runs_fail_where_memory_went_after_the_start(self):
        most, failures = self.peak_runs(143, 2)
        self.assertEqual((most, len(failures)), (0, 8))
        self.assertIn("needs 144.0 MiB (16.0 MiB planned), expected at most the 143.0 MiB", next(iter(failures.values())))

    def test_what_other_programs_take_counts(self):
        free = [1000 << 20]
        memory = sweep_memory.Memory("cpu", lambda: free[0])
        run = sweep_folder.Run(None, 1, self.out, planned_bytes=16 << 20)
        self.assertEqual(memory.room({run: None}), 856 << 20)  # it has not allocated yet
        free[0] = 500 << 20
        self.assertEqual(memory.room({run: None}), 500 << 20)
        self.assertEqual(memory.room({}), 500 << 20)

    def test_default_jobs(self):
        cores = sweep_runner.cores()
        self.assertEqual(sweep_runner.processes("cpu", None, None), (cores, 1))
        self.assertEqual(sweep_runner.processes("cpu", None, cores), (1, cores))
        self.assertEqual(sweep_runner.processes("cpu", 3, 5), (3, 5))
        self.assertEqual(sweep_runner.processes("cuda", None, None), (1, cores))
        self.assertEqual(sweep_runner.processes("cuda", cores, None), (cores, 1))


if __name__ == "__main__":
    unittest.main()
