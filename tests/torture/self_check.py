# SPDX-License-Identifier: MIT
"""The checks themselves: the comparison must see one bit of a tensor, one digit of the log, a missing file, and no
clock; that of a long run a leak of 16 bytes a step, a descriptor or thread too many."""

import json
import shutil

import compare
import long_run
import scenarios
from harness import Finding


def flip_last_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_log(path, field):
    first, *others = path.read_text(encoding="utf-8").splitlines()
    epoch = json.loads(first)
    epoch[field] = 1234.5
    path.write_text("\n".join([json.dumps(epoch), *others]) + "\n", encoding="utf-8")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES = (
    ("a tensor's bit", "checkpoint.safetensors", flip_last_bit, True),
    ("a tensor cut short", "checkpoint.safetensors", cut, True),
    ("weights", "weights.safetensors", flip_last_bit, True),
    ("a loss", "log.jsonl", lambda path: change_log(path, "train_loss"), True),
    ("a time", "log.jsonl", lambda path: change_log(path, "images_per_second"), False),
    ("the log's end", "log.jsonl", cut, True),
    ("the cell", "genotype.txt", flip_last_bit, True),
    ("a file", "genotype.txt", lambda path: path.unlink(), True),
    ("the options", "config.toml", cut, True),
)


STEADY = [[(20 << 20, 5, 4)] * 3 for _ in range(10)]
GROWING = (
    ("a leak of 16 bytes a step", [[((20 << 20) + 16 * 1200 * tenth, 5, 4)] for tenth in range(10)]),
    ("a descriptor", [[(20 << 20, 5 + (tenth == 9), 4)] for tenth in range(10)]),
    ("a thread", [[(20 << 20, 5, 4 + (tenth == 9))] for tenth in range(10)]),
    ("a tenth without a sample", [[]] * 10),
)


def flatness(trial):
    long_run.check_flat(trial, STEADY)
    for what, tenths in GROWING:
        try:
            long_run.check_flat(trial, tenths)
        except Finding:
            trial.count("growths")
            continue
        trial.expect(False, f"{what}: not seen")


def comparison(trial):
    reference = scenarios.reference(trial.torture, scenarios.named("training"))
    copy = trial.folder / "copy"
    for what, name, damage, seen in DAMAGES:
        shutil.copytree(reference.run, copy)
        trial.expect(not compare.differences(reference.run, copy), "a copy differs")
        damage(copy / name)
        trial.expect(bool(compare.differences(reference.run, copy)) == seen, f"{what}: {'not seen' if seen else 'seen'}")
        trial.count("damages")
        shutil.rmtree(copy)


def run(torture):
    torture.trials("checks of the checks", [("self/comparison", comparison), ("self/flatness", flatness)])
