# SPDX-License-Identifier: MIT
"""The table and record of tools/drnas_sweep, and its definitions against drnas_search:
sweep_table_test.py [DRNAS_SEARCH]"""

import csv
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools" / "sweep"), str(ROOT / "tools" / "gpu")]
sys.dont_write_bytecode = True

import sweep_definition  # noqa: E402  pylint: disable=wrong-import-position
import sweep_folder  # noqa: E402  pylint: disable=wrong-import-position
import sweep_report  # noqa: E402  pylint: disable=wrong-import-position
import sweep_runner  # noqa: E402  pylint: disable=wrong-import-position

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else str(ROOT / "drnas_search")
SHIPPED = sorted((ROOT / "tools" / "sweep").glob("*.toml"))
SOURCE = {"title": "Test", "seeds": [1, 2, 3], "options": {"data": "place", "epochs": 2},
          "rows": [{"name": "a"}, {"name": "b", "cells": 2}, {"name": "c", "cells": 3}],
          "table": {"note": "a note"}, "paper": {"b": {"cifar10": 94.3, "peak": 2437}, "c": {"cifar10": [91.0, 0.25]}}}


def result(row, seed, accuracy, peak=1 << 20, seconds=60.0):
    return {"row": row, "seed": seed, "genotype": "cell", "epochs": 2, "peak_bytes": peak, "seconds": seconds,
            "cifar10": accuracy, "cifar100": accuracy / 2, "imagenet16_120": accuracy / 3}


class Table(unittest.TestCase):
    def setUp(self):
        self.definition = sweep_definition.parse("test.toml", SOURCE, [])

    def test_spread_is_that_of_statistics(self):
        draw = random.Random(5)
        for count in (2, 3, 4, 10, 1000):
            values = [draw.uniform(10, 95) for _ in range(count)]
            found = sweep_report.spread(values)
            self.assertAlmostEqual(found["mean"], statistics.fmean(values), delta=1e-12 * 95)
            self.assertAlmostEqual(found["deviation"], statistics.stdev(values), delta=1e-12 * 95)
        self.assertEqual(sweep_report.spread([93.76]), {"mean": 93.76, "deviation": None})
        self.assertEqual(sweep_report.spread([94.36, 94.36]), {"mean": 94.36, "deviation": 0.0})

    def test_rows_join_their_own_seeds(self):
        draw = random.Random(6)
        results = [result(row, seed, draw.uniform(10, 95), draw.randrange(1 << 30), draw.uniform(1, 1e5))
                   for row, seeds in (("a", (1, 2, 3)), ("b", (2,))) for seed in seeds]
        rows = sweep_report.aggregate(self.definition, results)
        self.assertEqual([(row["row"], row["seeds_done"], row["seeds"]) for row in rows],
                         [("a", 3, 3), ("b", 1, 3), ("c", 0, 3)])
        for column in sweep_report.ACCURACIES:
            values = [entry[column] for entry in results[:3]]
            self.assertAlmostEqual(rows[0][column]["mean"], statistics.fmean(values), places=10)
            self.assertAlmostEqual(rows[0][column]["deviation"], statistics.stdev(values), places=10)
            self.assertEqual(rows[1][column], {"mean": results[3][column], "deviation": None})
            self.assertNotIn(column, rows[2])
        self.assertEqual(rows[0]["peak_bytes"], max(entry["peak_bytes"] for entry in results[:3]))
        self.assertAlmostEqual(rows[0]["seconds"]["mean"], statistics.fmean(e["seconds"] for e in results[:3]))
        self.assertEqual(rows[1]["paper"], {"cifar10": 94.3, "peak": 2437})
        self.assertEqual(rows[1]["options"], {"cells": 2})

    def test_text(self):
        results = [result("a", 1, 90.0, 3 << 19), result("a", 2, 93.0, 1 << 20, 3640), result("b", 1, 60.0)]
        text = sweep_report.table_text(self.definition, sweep_report.aggregate(self.definition, results))
        title, head, *lines = text.split("\n")
        self.assertEqual(title, "Test")
        self.assertEqual(head.split(), ["n", "CIFAR-10", "paper", "CIFAR-100", "ImageNet-16-120", "peak", "MiB",
                                        "paper", "time"])
        self.assertEqual(lines[0].split(), "a 2/3 91.50 ± 2.12 - 45.75 ± 1.06 30.50 ± 0.71 1.5 - 30:50".split())
        self.assertEqual(lines[1].split(), "b 1/3 60.00 94.30 30.00 20.00 1.0 2437 1:00".split())
        self.assertEqual(lines[2].split(), "c 0/3 - 91.00 ± 0.25 - - - - -".split())
        self.assertEqual(len({len(line) for line in [head] + lines[:3]}), 1)
        self.assertIn("sample standard deviation (n-1)", lines[3])
        self.assertEqual(lines[4], "a note")


class Record(unittest.TestCase):
    def test_searches_and_their_record(self):
        """Real searches, small ones: what the table says is what the run folders hold."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            accuracies = folder / "table.csv"
            cells = write_table(accuracies)
            (folder / "small.toml").write_text(
                'title = "Small"\nseeds = [1, 2]\n[options]\ndataset = "synthetic"\nimage-size = 16\nlimit-train = 80\n'
                'batch-size = 16\nchannels = 4\ncells = 1\nepochs = 2\n[grid]\npartial-channels = [1, 2]\n')
            done = subprocess.run(
                [sys.executable, str(ROOT / "tools" / "drnas_sweep"), str(folder / "small.toml"), "--program", PROGRAM,
                 "--out", str(folder / "out"), "--set", f"nb201-table={accuracies}", "--json", str(folder / "a.json")],
                capture_output=True, text=True, check=False, timeout=300)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            record = json.loads((folder / "a.json").read_text(encoding="utf-8"))
            self.assertNotIn(str(folder), json.dumps(record))
            self.assertEqual(record["definition"]["options"]["channels"], 4)
            self.assertEqual([(row["row"], row["seeds_done"]) for row in record["rows"]],
                             [("partial-channels 1", 2), ("partial-channels 2", 2)])
            self.assertEqual(len(record["runs"]), 4)
            for run in record["runs"]:
                path = folder / "out" / run["row"].replace(" ", "-") / f"seed{run['seed']}"
                self.assertEqual(run["genotype"], (path / "genotype.txt").read_text().strip())
                self.assertEqual(run["cifar10"], cells[run["genotype"]])
                self.assertEqual(run["epochs"], 2)
                self.assertIn(record["program"]["commit"], run["program"])
                log = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
                self.assertEqual(run["peak_bytes"], max(epoch["peak_bytes"]["total"] for epoch in log))
                spent = sum(seconds for epoch in log for seconds in epoch["seconds"].values())
                self.assertAlmostEqual(run["seconds"], spent, places=3)
            for row in record["rows"]:
                values = [cells[run["genotype"]] for run in record["runs"] if run["row"] == row["row"]]
                self.assertAlmostEqual(row["cifar10"]["mean"], statistics.fmean(values), places=9)
                self.assertIn(f"{row['cifar10']['mean']:.2f} ± {statistics.stdev(values):.2f}", done.stdout)


def write_table(path):
    """A table of random accuracies for all cells; those of CIFAR-10 by cell."""
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    draw, cells = random.Random(7), {}
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("architecture", "cifar10_test", "cifar100_test", "imagenet16_120_test"))
        for number in range(5 ** 6):
            ops = [names[number // 5 ** edge % 5] for edge in range(6)]
            cell = (f"|{ops[0]}~0|+|{ops[1]}~0|{ops[2]}~1|+|{ops[3]}~0|{ops[4]}~1|{ops[5]}~2|")
            cells[cell] = round(draw.uniform(10, 95), 2)
            writer.writerow((cell, cells[cell], round(draw.uniform(1, 74), 2), round(draw.uniform(1, 48), 2)))
    return cells


class Shipped(unittest.TestCase):
    def plan(self, path, settings=()):
        definition = sweep_definition.load(path, [("dataset", "synthetic"), *settings])
        with tempfile.TemporaryDirectory() as folder:
            runs = sweep_folder.runs_of(definition, folder)
            sweep_runner.plan(PROGRAM, definition, runs, 1)
        return definition, runs

    def test_drnas_search_knows_every_option_of_every_definition(self):
        self.assertEqual(sorted(path.stem for path in SHIPPED),
                         ["paper", "table1", "table1-small", "table4-small", "table5", "table5-small"])
        for path in SHIPPED:
            with self.subTest(path.name):
                definition, runs = self.plan(path)
                small = path.stem.endswith("-small")
                epochs = {"table4-small": 8}.get(path.stem, 12 if small else 100)
                self.assertEqual({run.epochs for run in runs}, {epochs})
                self.assertEqual(definition.seeds, [1, 2] if small else [1, 2, 3, 4])
                self.assertTrue(all(run.planned_bytes > 0 for run in runs))
                self.assertNotIn("data", definition.options)

    def test_a_wrong_option_would_be_found(self):
        with self.assertRaisesRegex(sweep_definition.SweepError, "row 'lambda 0'.*no-such"):
            self.plan(ROOT / "tools" / "sweep" / "table5-small.toml", [("no-such", "1")])

    def test_the_published_accuracies(self):
        """Tables 1 and 5 of the paper: one figure for each row, the published setting the best."""
        expected = {"table1": [94.36, 93.49, 92.85, 91.06, 94.36],
                    "table5": [93.78, 94.01, 94.36, 94.36, 94.36, 93.76, 93.76]}
        for name, means in expected.items():
            definition = sweep_definition.load(ROOT / "tools" / "sweep" / f"{name}.toml")
            numbers = [row.paper["cifar10"] for row in definition.rows]
            self.assertEqual([n[0] if isinstance(n, list) else n for n in numbers], means)
        self.assertEqual([row.options["lambda"] for row in definition.rows], [0, 5e-4, 1e-3, 5e-3, 1e-2, 1e-1, 1])

    def test_the_published_memory_falls_with_k_as_ours_does(self):
        definition, runs = self.plan(ROOT / "tools" / "sweep" / "table1.toml")
        rows = definition.rows[:4]
        ours = [next(run.planned_bytes for run in runs if run.row is row) for row in rows]
        for numbers in (ours, [row.paper["peak"] for row in rows]):
            self.assertEqual(numbers, sorted(numbers, reverse=True))


if __name__ == "__main__":
    unittest.main()
