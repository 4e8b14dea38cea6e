# SPDX-License-Identifier: MIT
"""Times the steps of this project beside plain PyTorch networks, one program after the other: the
search steps of a space, and in the DARTS space the training step of a derived network too.

Ratios are peer / ours: above 1, ours is faster or smaller. Memory is the peak of the process
above what it held before the model was built, so the size of the libraries does not count.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LAYOUTS = ("published", "channels_last")
PLACES = ("python", "extra-python", "programs", "json")  # of the machine, not of the comparison

sys.path.insert(0, os.path.dirname(HERE))

from recorded_command import portable_command  # noqa: E402  pylint: disable=wrong-import-position


class Pair:
    """Our program, the peer's, and the steps that both report; forward and backward pass of the
    last one are compared by themselves as well."""

    def __init__(self, ours, peer, steps):
        self.ours = ours
        self.peer = os.path.join(HERE, peer)
        self.steps = steps


PAIRS = {
    "search": Pair("bench_step", "torch_supernet.py", ("architecture_step_ms", "weight_step_ms")),
    "derived": Pair("bench_train", "torch_derived.py", ("training_step_ms",)),
}

# What is measured of each space unless the options say otherwise.
DEFAULTS = {
    "nas-bench-201": {
        "networks": ["search"],
        "channels": 16,
        "cells": 5,
        "batch_size": 64,
        "partial_channels": [1, 2, 4, 8],
    },
    "darts": {
        "networks": ["search", "derived"],
        "channels": 36,
        "cells": 20,
        "batch_size": 16,
        "partial_channels": [6],
        "derived_batch_size": 32,
        "drop_path": 0.3,
        "genotype": "DrNAS_cifar10",
    },
    "darts-imagenet": {
        "networks": ["search", "derived"],
        "channels": 48,
        "cells": 14,
        "batch_size": 8,
        "partial_channels": [6],
        "derived_batch_size": 8,
        "drop_path": 0.0,
        "genotype": "DrNAS_imagenet",
    },
}


class CompareError(Exception):
    """A one-line message that says what to install or run."""


def first_line(command):
    """First line that a command prints, or None where it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip().split("\n")[0] or None


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.split(":", 1)[1].strip() for line in stream if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def cores():
    return len(os.sched_getaffinity(0))


def torch_version(python):
    """The torch release of an interpreter; an error if it or numpy cannot be imported."""
    code = "import numpy, torch; print(torch.__version__)"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError as error:
        raise CompareError(f"{python}: {error.strerror}: name an interpreter by --python") from None
    if done.returncode != 0:
        raise CompareError(
            f"{python}: cannot import torch and numpy: install python3-torch and python3-numpy, "
            "or name another interpreter by --python"
        )
    return done.stdout.strip()


def run_json(command):
    """Runs a program with --json FILE and returns what it wrote there."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.json")
        done = subprocess.run(
            command + ["--json", path], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            lines = (done.stderr.strip() or done.stdout.strip()).split("\n")
            name = os.path.basename(command[1] if command[1].endswith(".py") else command[0])
            raise CompareError(f"{name}: {lines[-1].removeprefix('error: ')}")
        try:
            with open(path, encoding="utf-8") as stream:
                return json.load(stream)
        except (OSError, ValueError) as error:
            raise CompareError(f"{os.path.basename(command[0])}: no report: {error}") from None


def memory(report):
    return report["process_peak_bytes"] - report["process_start_bytes"]


def flags(named):
    return [part for key, value in named.items() for part in (f"--{key}", str(value))]


def search_arguments(options, partial):
    return flags(
        {
            "space": options.space,
            "channels": options.channels,
            "cells": options.cells,
            "batch-size": options.batch_size,
            "partial-channels": partial,
            "threads": options.threads,
        }
    )


def derived_arguments(options):
    named = {
        "genotype": options.genotype,
        "channels": options.channels,
        "layers": options.cells,
        "batch-size": options.derived_batch_size,
        "drop-path": options.drop_path,
        "threads": options.threads,
    }
    return flags(named) + (["--imagenet"] if options.space == "darts-imagenet" else [])


def passes_ms(report, step):
    """Forward and backward pass of a step without the optimiser."""
    phases = report[step]["phases"]
    return phases["forward"] + phases["backward"]


def ratios(pair, ours, peer):
    """peer / ours of every step, of the last one's passes and of the memory."""
    ratio = {key: peer[key]["median"] / ours[key]["median"] for key in pair.steps}
    last = pair.steps[-1]
    ratio["passes"] = passes_ms(peer, last) / passes_ms(ours, last)
    ratio["memory"] = memory(peer) / max(memory(ours), 1)
    return ratio


def compare_one(options, interpreters, network, arguments, label):
    """Ours and every peer on one network; each peer gets its ratios to ours."""
    pair = PAIRS[network]
    program = os.path.join(options.programs, pair.ours)
    ours = run_json([program] + arguments + flags({"steps": options.steps}))
    print_row(pair, label, "drnas", ours, None)
    peers = []
    for python, version in interpreters:
        for layout in LAYOUTS:
            extra = flags({"steps": options.peer_steps, "layout": layout})
            peer = run_json([python, pair.peer] + arguments + extra)
            peer["ratio"] = ratios(pair, ours, peer)
            peers.append(peer)
            print_row(pair, label, f"torch {version} {layout}", peer, peer["ratio"])
    return {"ours": ours, "peers": peers}


def print_row(pair, label, name, report, ratio):
    """Medians with their ratios; what was spread how far is in the JSON."""
    cells = [f"{label:>2}", f"{name:<34}"]
    for key in pair.steps:
        factor = f"{ratio[key]:.2f}x" if ratio else ""
        cells.append(f"{report[key]['median']:>9.1f} {factor:>8}")
    factor = f"{ratio['passes']:.2f}x" if ratio else ""
    cells.append(f"{passes_ms(report, pair.steps[-1]):>9.1f} {factor:>8}")
    factor = f"{ratio['memory']:.2f}x" if ratio else ""
    cells.append(f"{memory(report) / 2**20:>9.1f} {factor:>8}")
    print("  ".join(cells), flush=True)


def print_head(options, network):
    batch = options.batch_size if network == "search" else options.derived_batch_size
    print(
        f"{options.space}, {network}: C {options.channels}, N {options.cells}, batch {batch}, "
        f"{options.threads} threads; median ms, MiB above start, ratio peer / ours"
    )
    names = [key.removesuffix("_step_ms") for key in PAIRS[network].steps]
    heads = names + [names[-1] + " passes", "memory"]
    print("  ".join([" K", f"{'program':<34}"] + [f"{head:>18}" for head in heads]))


def compare_network(options, interpreters, network):
    print_head(options, network)
    if network == "derived":
        entry = compare_one(options, interpreters, network, derived_arguments(options), "")
        return [{"network": network, **entry}]
    results = []
    for partial in options.partial_channels:
        arguments = search_arguments(options, partial)
        entry = compare_one(options, interpreters, network, arguments, str(partial))
        results.append({"network": network, "partial_channels": partial, **entry})
    return results


def positive_list(text):
    values = [int(part) for part in text.split(",")]
    if not values or min(values) < 1:
        raise ValueError(text)
    return values


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", choices=tuple(DEFAULTS), default="nas-bench-201")
    parser.add_argument(
        "--networks",
        type=lambda text: text.split(","),
        metavar="search,derived",
        help="default: both where the space has both",
    )
    parser.add_argument("--channels", type=int, metavar="C")
    parser.add_argument("--cells", type=int, metavar="N", help="a stage; DARTS space: in all")
    parser.add_argument("--batch-size", type=int, metavar="B", help="of the search")
    parser.add_argument("--partial-channels", type=positive_list, metavar="K,K,...")
    parser.add_argument("--derived-batch-size", type=int, metavar="B")
    parser.add_argument("--drop-path", type=float, metavar="P", help="of the derived network")
    parser.add_argument("--genotype", help="of the derived network")
    parser.add_argument("--steps", type=int, default=9, help="timed steps of ours")
    parser.add_argument("--peer-steps", type=int, default=3, help="timed steps of the peer")
    parser.add_argument("--threads", type=int, default=cores(), help="default: all cores")
    parser.add_argument("--python", default="/usr/bin/python3", help="interpreter with torch")
    parser.add_argument("--extra-python", metavar="PATH", help="one with a second torch release")
    parser.add_argument(
        "--programs",
        default=os.path.join(ROOT, "build", "bench"),
        metavar="DIR",
        help="where bench_step and bench_train are (default: build/bench)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE")
    options = parser.parse_args()
    for name, value in DEFAULTS[options.space].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    for network in options.networks:
        if network not in DEFAULTS[options.space]["networks"]:
            raise CompareError(f"--networks {network}: not measured in {options.space}")
    return options


def compare(options):
    for network in options.networks:
        program = os.path.join(options.programs, PAIRS[network].ours)
        if not os.access(program, os.X_OK):
            raise CompareError(f"{os.path.relpath(program)}: no such program: run make first")
    pythons = [options.python] + ([options.extra_python] if options.extra_python else [])
    interpreters = [(python, torch_version(python)) for python in pythons]
    report = {
        "command": portable_command(["bench/peers/compare.py", *sys.argv[1:]], PLACES),
        "machine": {"cpu": cpu_model(), "cores": cores()},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "git_commit": first_line(["git", "describe", "--always", "--dirty", "--abbrev=40"]),
        "torch": [version for _, version in interpreters],
        "threads": options.threads,
        "space": options.space,
        "results": [],
    }
    for network in options.networks:
        report["results"] += compare_network(options, interpreters, network)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump(report, stream, indent=2)
            stream.write("\n")


if __name__ == "__main__":
    try:
        compare(parse_options())
    except (CompareError, OSError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(2)
