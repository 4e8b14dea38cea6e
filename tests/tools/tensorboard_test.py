# SPDX-License-Identifier: MIT
"""drnas_search --tensorboard and drnas_train --tensorboard, read back with the tensorboard package.

    tests/tools/tensorboard_test.py FOLDER    where FOLDER holds the programs
DRNAS_TENSORBOARD_PYTHON names an interpreter that has the package (default: python3); exit code 77 without one."""

import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

PYTHON = os.environ.get("DRNAS_TENSORBOARD_PYTHON", "python3")
SKIPPED = 77
SEARCH = ("--dataset synthetic --image-size 16 --limit-train 160 --batch-size 16 --channels 4 --cells 1 "
          "--partial-channels 2 --epochs 4 --threads 2 --trajectory 5 --hessian every=2,samples=2 --quiet --device cpu")
TRAINING = ("--dataset synthetic --image-size 16 --limit-train 160 --batch-size 16 --channels 4 --cells 1 --epochs 3 "
            "--threads 2 --quiet --device cpu --genotype |nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
            "+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|")
# Scalar tags and where a line of log.jsonl has the value.
COMMON_TAGS = {"loss/train": "train_loss", "top1/train": "train_top1", "schedule/epoch": "epoch",
               "schedule/learning_rate": "learning_rate", "speed/images_per_second": "images_per_second",
               "memory/peak_mib": "peak_bytes.total"}
SEARCH_TAGS = COMMON_TAGS | {
    "loss/val": "val_loss", "top1/val": "val_top1", "schedule/stage": "stage",
    "speed/architecture_step_ms": "step_ms.architecture", "speed/weight_step_ms": "step_ms.weight",
    "table/cifar10": "table.cifar10", "table/cifar100": "table.cifar100",
    "table/imagenet16_120": "table.imagenet16_120",
    "trajectory/distinct": "trajectory.distinct", "trajectory/agreement": "trajectory.agreement",
    "hessian_loss/bound": "hessian.bound.value", "hessian_loss/expected": "hessian.expectation.mean"
} | {f"hessian_{point}/{name}": f"hessian.{point}.{name}" for point in ("mu", "theta")
     for name in ("eigenvalue", "norm", "trace")
} | {f"trajectory_{data}/{name}": f"trajectory.{data}.{name}" for data in ("cifar10", "cifar100", "imagenet16_120")
     for name in ("min", "q1", "median", "q3", "max")}
TRAINING_TAGS = COMMON_TAGS | {"loss/test": "test_loss", "top1/test": "test_top1", "top5/test": "test_top5",
                               "schedule/drop_path": "drop_path", "speed/step_ms": "step_ms"}

READER = r'''
import json, sys
from tensorboard.backend.event_processing import event_accumulator as ea
from tensorboard.backend.event_processing import plugin_event_accumulator as pea
from tensorboard.util import tensor_util
everything = {ea.SCALARS: 0, ea.HISTOGRAMS: 0, ea.TENSORS: 0}
events = ea.EventAccumulator(sys.argv[1], size_guidance=everything).Reload()
tags = events.Tags()
# What the pages are made from; the other one does not void tensors at a restart.
pages = pea.EventAccumulator(sys.argv[1], tensor_size_guidance={pea.TENSORS: 0}).Reload()
json.dump({"scalars": {t: [[e.step, e.value] for e in events.Scalars(t)] for t in tags["scalars"]},
           "histograms": {t: [[e.step, e.histogram_value.num] for e in events.Histograms(t)]
                          for t in tags["histograms"]},
           "texts": {t: [[e.step, tensor_util.make_ndarray(e.tensor_proto).item().decode()]
                         for e in pages.Tensors(t)] for t in tags["tensors"]},
           "plugins": {t: pages.SummaryMetadata(t).plugin_data.plugin_name for t in pages.Tags()["tensors"]},
           "page_steps": {t: [e.step for e in pages.Tensors(t)] for t in pages.Tags()["tensors"]}}, sys.stdout)
'''


def has_package():
    try:
        return subprocess.run([PYTHON, "-c", "import tensorboard"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def read_back(run):
    done = subprocess.run([PYTHON, "-c", READER, str(run / "tensorboard")], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def logged(epoch, where):
    """The value at a dotted path, or None where the epoch has none."""
    value = epoch
    for key in where.split("."):
        if key not in value:
            return None
        value = value[key]
    return value / 2**20 if where.startswith("peak_bytes") else value


def mean_entropy(epoch):
    total = 0
    for row in epoch["concentrations"]:
        weights = [c / sum(row) for c in row]
        total -= sum(w * math.log(w) for w in weights)
    return total / len(epoch["concentrations"])


class Programs(unittest.TestCase):
    folder: pathlib.Path

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="drnas-tensorboard-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)

    def start(self, program, run, *options):
        return subprocess.Popen([str(self.folder / program), "--out", str(run), *options], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_WAIT_POLICY": "passive"})

    def finish(self, process):
        output, errors = process.communicate()
        self.assertEqual(process.returncode, 0, output + errors)

    def write_table(self):
        """Accuracies of all cells, different for each."""
        ops = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
        lines = ["architecture,cifar10_test,cifar100_test,imagenet16_120_test"]
        for number in range(5**6):
            a, b, c, d, e, f = (ops[number // 5**place % 5] for place in range(6))
            cell = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
            lines.append(f"{cell},{90 + number / 5**6:.5f},{70 + number / 5**6:.5f},{40 + number / 5**6:.5f}")
        table = self.scratch / "table.csv"
        table.write_text("\n".join(lines) + "\n")
        return str(table)

    def check_scalars(self, shown, log, tags, steps):
        expected = {tag: [(e["epoch"] * steps, logged(e, where)) for e in log if logged(e, where) is not None]
                    for tag, where in tags.items()}
        expected = {tag: values for tag, values in expected.items() if values}
        if "concentrations" in log[0]:
            expected["architecture/mean_entropy"] = [(e["epoch"] * steps, mean_entropy(e)) for e in log]
        self.assertEqual(set(shown["scalars"]) - {"loss/step"}, set(expected))
        for tag, values in expected.items():
            self.assertEqual([step for step, _ in shown["scalars"][tag]], [step for step, _ in values], tag)
            for (_, value), (_, wanted) in zip(shown["scalars"][tag], values):
                self.assertAlmostEqual(value, wanted, delta=1e-6 * max(1.0, abs(wanted)), msg=tag)
        live = [step for step, _ in shown["scalars"]["loss/step"]]
        self.assertEqual(live, [s for s in range(1, len(log) * steps) if s % steps])
        self.assertEqual(set(shown["page_steps"]),
                         set(shown["scalars"]) | set(shown["histograms"]) | set(shown["texts"]))
        for tag, values in shown["scalars"].items():
            self.assertEqual(shown["page_steps"][tag], [step for step, _ in values], tag)
            self.assertEqual(shown["plugins"][tag], "scalars")

    def check_search(self, run):
        shown, log, steps = read_back(run), log_of(run), 5
        self.assertEqual(len(log), 4)
        self.check_scalars(shown, log, SEARCH_TAGS, steps)
        epochs = [e["epoch"] * steps for e in log]
        self.assertEqual(shown["histograms"],
                         {f"concentrations/edge_0{edge}": [[s, 5.0] for s in epochs] for edge in range(6)})
        self.assertEqual(shown["texts"], {"genotype": [[s, f"`{e['genotype']}`"] for s, e in zip(epochs, log)]})
        self.assertEqual(shown["plugins"]["genotype"], "text")

    def kill_within_epoch(self, process, run, epochs, signal_number):
        """Stops a run once it has logged `epochs` and shows steps of the next one."""
        log, events = run / "log.jsonl", run / "tensorboard"
        size = None
        while process.poll() is None:
            if log.exists() and len(log.read_text().splitlines()) >= epochs:
                now = sum(f.stat().st_size for f in events.iterdir())
                if size is not None and now > size:
                    break
                size = now
        process.send_signal(signal_number)
        process.communicate()
        self.assertNotEqual(process.returncode, 0, "the run ended before it could be stopped")

    def test_search(self):
        run = self.scratch / "run"
        self.finish(self.start("drnas_search", run, *SEARCH.split(), "--tensorboard", "--nb201-table",
                               self.write_table()))
        self.check_search(run)

    def test_resumed_search(self):
        table = self.write_table()
        for number in (signal.SIGINT, signal.SIGKILL):
            with self.subTest(number):
                run = self.scratch / f"run-{number}"
                process = self.start("drnas_search", run, *SEARCH.split(), "--tensorboard", "--nb201-table", table)
                self.kill_within_epoch(process, run, 2, number)
                self.finish(self.start("drnas_search", run, "--resume"))
                self.check_search(run)
                self.assertEqual(len(list((run / "tensorboard").iterdir())), 2)
                sessions = json.loads((run / "run.json").read_text())["sessions"]
                self.assertEqual([s["command"][-1] for s in sessions], [table, "--resume"])

    def test_training(self):
        run = self.scratch / "run"
        process = self.start("drnas_train", run, *TRAINING.split(), "--tensorboard")
        self.kill_within_epoch(process, run, 1, signal.SIGKILL)
        self.finish(self.start("drnas_train", run, "--resume"))
        log = log_of(run)
        self.assertEqual(len(log), 3)
        self.check_scalars(read_back(run), log, TRAINING_TAGS, 10)

    def test_without_the_option(self):
        run = self.scratch / "run"
        self.finish(self.start("drnas_search", run, *SEARCH.split(), "--epochs", "1"))
        self.assertFalse((run / "tensorboard").exists())


if __name__ == "__main__":
    Programs.folder = pathlib.Path(sys.argv.pop(1)).resolve()
    if not has_package():
        print(f"skipped: {PYTHON} has no package tensorboard (DRNAS_TENSORBOARD_PYTHON names an interpreter that has)")
        sys.exit(SKIPPED)
    unittest.main()
