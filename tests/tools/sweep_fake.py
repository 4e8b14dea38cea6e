# SPDX-License-Identifier: MIT
"""A stand-in of drnas_search for the tests of drnas_sweep: the same files, exit codes and dry run, and
epochs that take no time. What it logs depends on its seed and epoch alone.

--channels: planned MiB. --cells 13: fails in its second epoch. --stop-on: ends after epoch 2, good is
epoch 1. --select perturbation: ends with another cell than the epochs'. FAKE_HOLD: a file that holds a
run before its second epoch. FAKE_STARTS: a file that gets a line for each start."""
import json
import os
import pathlib
import signal
import sys
import time
import tomllib

DEFAULTS = {"epochs": 3, "lambda": 0.001, "cells": 1, "channels": 16, "regulariser": "l2", "stop-on": "", "select": "argmax",
            "partial-channels": [1], "none-op": False, "data": ""}


def convert(name, text):
    if isinstance(DEFAULTS[name], list):
        return [int(part) for part in text.split(",")]
    return type(DEFAULTS[name])(text)


def parse(words):
    options, switches = dict(DEFAULTS), set()
    while words:
        name = words.pop(0)[2:]
        if name in ("resume", "dry-run", "version"):
            switches.add(name)
        elif name == "none-op":
            options[name] = True
        elif name in ("seed", "threads"):
            options[name] = int(words.pop(0))
        elif name == "out":
            options[name] = words.pop(0)
        elif name in DEFAULTS:
            options[name] = convert(name, words.pop(0))
        else:
            sys.exit(f"error: --{name}: unknown option")
    return options, switches


def epoch_record(options, epoch):
    accuracy = 90 + options["seed"] + epoch / 16
    return {"epoch": epoch, "genotype": f"cell {options['seed']} {epoch}", "peak_bytes": {"total": epoch << 20},
            "seconds": {"train": 1.5, "evaluation": 0.5},
            "table": {"cifar10": accuracy, "cifar100": accuracy - 20, "imagenet16_120": accuracy - 40}}


def stop(number, _frame):
    print("stopped after some epochs", file=sys.stderr)
    sys.exit(128 + number)


def run(options, out):
    log = out / "log.jsonl"
    done = len(log.read_text().splitlines()) if log.exists() else 0
    for epoch in range(done + 1, options["epochs"] + 1):
        while epoch == 2 and os.path.exists(os.environ["FAKE_HOLD"]):
            time.sleep(0.01)
        if options["cells"] == 13 and epoch == 2:
            print("working\nerror: thirteen cells", file=sys.stderr)
            sys.exit(2)
        record = epoch_record(options, epoch)
        if options["stop-on"] and epoch == 2:
            record |= {"stopped_on": "skip", "good_epoch": 1}
        with open(log, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        if "stopped_on" in record:
            break
    if options["select"] == "perturbation":
        found = {"genotype": f"selected {options['seed']}", "argmax": "", "table": {"cifar10": 50 + options["seed"]}}
        (out / "selection.jsonl").write_text('{"decision":1}\n' + json.dumps(found) + "\n")


def main():
    options, switches = parse(sys.argv[1:])
    if "version" in switches:
        print("drnas_search 0.0.1\ncommit    abc123\ncompiler  none 1")
        return
    toml = "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())
    if "dry-run" in switches:
        print(f"# plan\n{toml}# planned peak bytes {options['channels'] << 20} on cpu")
        return
    signal.signal(signal.SIGINT, stop)
    out = pathlib.Path(options["out"])
    with open(os.environ["FAKE_STARTS"], "a", encoding="utf-8") as stream:
        stream.write(f"{out.parent.name}/{out.name} {'resume' if 'resume' in switches else 'new'}\n")
    if out.exists() != ("resume" in switches):
        sys.exit("error: --out exists or not")
    if "resume" in switches:
        options = tomllib.loads((out / "config.toml").read_text())
    else:
        out.mkdir(parents=True)
        (out / "config.toml").write_text("# drnas_search 0.0.1, commit abc123\n" + toml)
    (out / "pid").write_text(str(os.getpid()))
    run(options, out)


main()
