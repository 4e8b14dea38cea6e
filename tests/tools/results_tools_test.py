# SPDX-License-Identifier: MIT
"""bench/summarize_search.py and bench/results_page.py on files that the tests write."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def run(tool, *arguments):
    return subprocess.run([sys.executable, "-B", str(ROOT / "bench" / tool), *map(str, arguments)],
                          capture_output=True, text=True, check=False)


def step(median):
    return {"median": median, "min": median - 1.0, "max": median + 1.0}


class Case(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="drnas-results-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def write(self, name, record):
        (self.folder / name).write_text(record if isinstance(record, str) else json.dumps(record))

    def page(self):
        done = run("results_page.py", self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return (self.folder / "README.md").read_text()

    def check_line(self, text, *cells):
        self.assertIn("| " + " | ".join(cells) + " |", text.splitlines())


class ResultsPage(Case):
    SWEEP = {"kind": "sweep", "title": "Lambda over three seeds", "command": "tools/drnas_sweep --seeds 1,2,3",
             "program": {"version": "0.1.0", "commit": COMMIT}, "machine": {"processor": "A processor", "cores": 2, "threads": 3},
             "date": "2026-11-28", "runs": [{"name": "a"}],
             "rows": [{"lambda": 0.5, "cifar10": {"mean": 93.125, "deviation": 0.25}, "peak_bytes": 3 << 20},
                      {"lambda": 1, "cifar10": {"mean": 92.0, "deviation": None}, "paper": {"cifar10": 91.5},
                       "note": "a|b"}]}

    def test_sweep(self):
        self.write("sweep.json", self.SWEEP)
        text = self.page()
        self.assertIn("### Lambda over three seeds ([sweep.json](sweep.json))", text)
        self.check_line(text, "`tools/drnas_sweep --seeds 1,2,3`", "A processor, 2 cores, 3 threads", COMMIT[:12],
                        "2026-11-28")
        self.check_line(text, "lambda", "cifar10", "peak, MiB", "paper", "note")
        self.check_line(text, "0.5", "93.12 ± 0.25", "3.0", "", "")
        self.check_line(text, "1", "92.00", "", "cifar10 91.5", "a\\|b")
        self.write("sweep.json", self.SWEEP | {"columns": ["x", "y"], "rows": [[1, 2.5]]})
        self.check_line(self.page(), "1", "2.5")

    def test_what_is_missing_is_said(self):
        self.write("search.json", {"note": "n", "recorded_in": "abc1234", "runs": [
            {"run": "r", "epochs": 2, "genotype": "|x~0|", "val_top1": 50.0, "peak_bytes": {"1": 3 << 20}}]})
        text = self.page()
        self.check_line(text, "not recorded", "not recorded", "not recorded (recorded in commit abc1234)",
                        "not recorded")
        self.check_line(text, "r", "1", "3.0")
        self.check_line(text, "r", "2", "50", "", "", "", "", "`\\|x~0\\|`")

    def test_steps(self):
        ours = {"space": "nas-bench-201", "channels": 16, "cells": 5, "batch_size": 64, "partial_channels": 2,
                "architecture_step_ms": step(10.0), "weight_step_ms": step(30.0), "process_start_bytes": 0,
                "process_peak_bytes": 2 << 20, "peak_bytes": {"total": 1 << 20}}
        peer = ours | {"torch": "2", "layout": "published", "weight_step_ms": step(70.0),
                       "process_peak_bytes": 6 << 20}
        del peer["peak_bytes"]
        self.write("peers.json", {"torch": ["2"], "results": [{"ours": ours, "peers": [peer]}]})
        network = "nas-bench-201, C 16, N 5, batch 64, K 2"
        text = self.page()
        self.check_line(text, network, "PyTorch 2, published", "10.0 (9.0 to 11.0)", "70.0 (69.0 to 71.0)", "2.00")
        self.check_line(text, network, "PyTorch 2, published", "6.0", "", "3.00")
        self.write("peers.json", ours)
        self.check_line(self.page(), network, "drnas", "2.0", "1.0", "1.00")

    def test_gpu_check_and_registers(self):
        kernel = {"family": "mix", "direction": "forward", "channels": 16, "size": 32, "partial_channels": 1,
                  "milliseconds": 0.5, "bytes": 1, "gb_per_s": 1000.0, "share_of_copy_bandwidth": 0.75}
        row = {"program": "drnas", "k": 1, "architecture_ms": 2.0, "weight_ms": 3.0, "launches": 572, "process_mib": 9}
        self.write("gpu.json", {"card": {"name": "A card", "driver": "1"}, "commit": "abc", "date": "2026-12-01T01:02",
                                "finished": False, "steps": {
                                    "tests": {"status": "failed", "why": "reason"},
                                    "bench_device": {"status": "passed", "kernels": [kernel]},
                                    "bench_step K 1": {"status": "passed", "row": row}}})
        self.write("registers.txt", "# command: c\nkernels/a.cu sm_90: 2 kernels, at most 30 registers, 4 bytes of stack, 0 bytes "
                   "spilled\nkernels/b.cu sm_90: 3 kernels, at most 40 registers, 12 bytes of stack, 8 bytes spilled\n")
        text = self.page()
        self.check_line(text, "not recorded", "A card, driver 1", "abc", "2026-12-01")
        self.check_line(text, "tests", "failed", "reason")
        self.check_line(text, "drnas", "1", "2", "3", "572")
        self.check_line(text, "mix", "forward", "16", "32", "1", "0.5", "1000", "0.75")
        self.check_line(text, "sm_90", "2", "5", "40", "`kernels/b.cu`", "16", "8")
        self.assertIn("did not come to their end", text)

    def test_images(self):
        rates = {"median": 900.4, "min": 800.0, "max": 1000.0}
        row = {"format": "WebP", "width": 5, "height": 4, "file_bytes": 70, "drnas": rates}
        self.write("images.json", {"rounds": 3, "images": [row, row | {
            "format": "PNG", "stb_image": rates | {"median": 7.0}, "largest_difference": 0}]})
        text = self.page()
        self.check_line(text, "WebP, 5 x 4", "70", "900 (800 to 1000)", "", "")
        self.check_line(text, "PNG, 5 x 4", "70", "900 (800 to 1000)", "7 (800 to 1000)", "0")
        self.assertIn("Median of 3 rounds", text)

    def test_check(self):
        self.write("sweep.json", self.SWEEP)
        for stale in (None, "# Recorded results\n"):
            if stale:
                self.write("README.md", stale)
            done = run("results_page.py", self.folder, "--check")
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))
            self.assertIn("run bench/results_page.py", done.stderr)
        self.page()
        self.assertEqual(run("results_page.py", self.folder, "--check").returncode, 0)

    def test_unknown_and_broken_files(self):
        for record in ({"what": 1}, "{", {"kind": "sweep"}, {"runs": []}, {"runs": [{"genotype": "x"}]}):
            self.write("odd.json", record)
            done = run("results_page.py", self.folder)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), record)
            self.assertIn("odd.json", done.stderr)


class SummarizeSearch(Case):
    def write_run(self, name, record):
        folder = self.folder / name
        folder.mkdir()
        (folder / "config.toml").write_text('epochs = 1\ndata = "/a/place"\n')
        (folder / "genotype.txt").write_text("|x~0|\n")
        (folder / "log.jsonl").write_text(json.dumps({"epoch": 1, "step_ms": 2.0, "peak_bytes": {"total": 5}}) + "\n")
        if record:
            (folder / "run.json").write_text(json.dumps(record))
        return folder

    def test_what_ran_it(self):
        record = {"program": "drnas_search", "started": "2026-11-28T10:00:00Z", "commit": "aaa", "version": "0.1.0",
                  "processor": "A processor", "cores": 2, "threads": 2, "memory_bytes": 1024, "device": "cpu",
                  "command": ["drnas_search", "--data", "/a/place", "--out=/b", "--genotype", "|x~0|"],
                  "sessions": [{"commit": "aaa"}, {"commit": "bbb"}, {"commit": "aaa"}]}
        done = run("summarize_search.py", self.write_run("new", record), self.write_run("old", None))
        self.assertEqual(done.returncode, 0, done.stderr)
        new, old = json.loads(done.stdout)["runs"]
        self.assertEqual(new["command"], "drnas_search --data ... --out=... --genotype '|x~0|'")
        self.assertEqual(new["git_commit"], "aaa, bbb")
        self.assertEqual(new["date"], "2026-11-28")
        self.assertEqual(new["machine"], {"device": "cpu", "processor": "A processor", "cores": 2, "threads": 2,
                                          "memory_bytes": 1024})
        self.assertFalse(set(old) & {"command", "machine", "git_commit", "date"})
        page = self.folder / "page"
        page.mkdir()
        (page / "s.json").write_text(done.stdout)
        self.assertEqual(run("results_page.py", page).returncode, 0)
        self.check_line((page / "README.md").read_text(), f"`{new['command']}`".replace("|", "\\|"),
                        "A processor, 2 cores, 2 threads", "aaa, bbb", "2026-11-28")


if __name__ == "__main__":
    unittest.main()
