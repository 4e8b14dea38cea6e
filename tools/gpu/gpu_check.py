# SPDX-License-Identifier: MIT
"""Tests and measures on this machine's GPU within ten minutes, and writes one JSON of it all.

Exit code: 0 when every test passed and every measurement ran, 1 when one did not, 2 where nothing
can be checked (no GPU, bad option); then no file is written.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import gpu_steps
from gpu_programs import CheckError, Failed, Partial, Programs, Skipped, built_programs, carried_programs, run

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MINUTES = 9.5
FIELDS = ("name", "driver_version", "memory.total", "compute_cap", "power.limit", "clocks.max.sm")


def card_index():
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    return first if first else "0"


def query_card(fields, limit=20):
    """Fields of nvidia-smi as a list of text."""
    command = ["nvidia-smi", "-i", card_index(), f"--query-gpu={','.join(fields)}"]
    done = run(command + ["--format=csv,noheader,nounits"], limit)
    if done.code == 127:
        raise CheckError("no NVIDIA GPU: nvidia-smi not found")
    lines = [line.strip() for line in done.output.strip().splitlines() if line.strip()]
    if done.over or done.code != 0 or not lines:
        reason = "no answer" if done.over or not lines else lines[0]
        raise CheckError(f"no NVIDIA GPU: nvidia-smi says: {reason}")
    return [part.strip() for part in lines[0].split(",")]


def find_card():
    values = query_card(FIELDS)
    if len(values) != len(FIELDS):
        raise CheckError(f"nvidia-smi: {len(values)} fields, expected {len(FIELDS)}")
    card = dict(zip(("name", "driver", "memory_mib", "compute_capability", "power_limit_w", "max_clock_mhz"), values))
    if not re.fullmatch(r"\d+\.\d+", card["compute_capability"]):
        raise CheckError(f"nvidia-smi: compute capability {card['compute_capability']}, expected one like 9.0")
    return card


def used_bytes():
    """Bytes in use on the card, all processes together; None where nvidia-smi does not say."""
    try:
        return int(float(query_card(("memory.used",))[0])) << 20
    except (CheckError, ValueError):
        return None


class Report:
    """The figures so far: kept in the file after every step, so that a run that is cut short
    leaves what it found."""

    def __init__(self, path, card, deadline):
        self.path, self.deadline = path, deadline
        self.begin = time.monotonic()
        self.data = {
            "card": card,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": None,
            "programs": None,
            "finished": False,
            "steps": {},
            "failures": [],
        }

    def left(self):
        return self.deadline - time.monotonic()

    def step(self, name, limit, body, must=False):
        """Runs body(limit), which returns figures, and keeps them. What it raises is a failure and
        the next step comes all the same. `must`: not having had the time is a failure too."""
        limit = min(limit, self.left())
        begin = time.monotonic()
        entry = {"status": "passed"}
        if limit < 3:
            entry = {"status": "not reached", "why": "no time left"}
        else:
            try:
                entry.update(body(limit))
            except Skipped as reason:
                entry = {"status": "skipped", "why": str(reason)}
            except Partial as cut:
                entry.update(cut.figures)
                entry.update(status="partial, clean", why=str(cut))
            except Failed as failure:
                entry.update(failure.figures)
                entry.update(status="failed", why=str(failure))
            except Exception as failure:  # pylint: disable=broad-except
                entry.update(status="failed", why=f"{type(failure).__name__}: {failure}")
        entry["seconds"] = round(time.monotonic() - begin, 2)
        self.data["steps"][name] = entry
        if entry["status"] == "failed" or (must and entry["status"] == "not reached"):
            self.data["failures"].append({"step": name, "why": entry["why"]})
        self.write()
        print(f"{name:<30} {entry['status']:<14} {entry['seconds']:>7.1f} s  {headline(entry)}", flush=True)
        return entry

    def verdict(self, names, seconds):
        """Whether the first steps passed, and what the last of them measured beside its model, where there is one."""
        steps = self.data["steps"]
        last = steps[names[-1]]
        wrong = [f"{name} {steps[name]['status']}" for name in names if steps[name]["status"] != "passed"]
        text = ", ".join(wrong) if wrong else f"kernels right, one step right, {headline(last)}"
        figures = {key: last[key] for key in ("row", "model") if key in last}
        self.data["first_verdict"] = {"good": not wrong, "text": text, **figures, "seconds": round(seconds, 1)}
        self.write()
        print(f"first verdict after {seconds:.0f} s: {text}", flush=True)

    def finish(self):
        self.data["finished"] = True
        self.data["seconds"] = round(time.monotonic() - self.begin, 1)
        self.write()
        return not self.data["failures"]

    def write(self):
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        temporary = self.path + ".part"
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(self.data, stream, indent=2)
            stream.write("\n")
        os.replace(temporary, self.path)


def headline(entry):
    """What the terminal says of a step: at most one line."""
    return str(entry.get("why") or entry.get("headline") or "")[:110]


def default_path(card):
    name = re.sub(r"[^a-z0-9]+", "_", card["name"].lower()).strip("_").removeprefix("nvidia_")
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    return os.path.join(ROOT, "bench", "results", f"gpu_{name}_{date}.json")


def find_programs(options, card, scratch, limit):
    """The carried build where it runs, else one made here."""
    if not options.build:
        try:
            return carried_programs(options.pack, card["compute_capability"], scratch)
        except CheckError as why:
            print(f"{why}: building")
    return built_programs(ROOT, os.path.join(ROOT, "build"), limit)


def check(options, card, scratch):
    budget = 24 * 3600.0 if options.full else 60 * options.minutes
    report = Report(options.json or default_path(card), card, time.monotonic() + budget)
    programs = Programs({}, {}, "none", None)

    def prepare(limit):
        nonlocal programs
        programs = find_programs(options, card, scratch, limit)
        report.data.update(commit=programs.commit, programs=programs.source)
        return {"headline": f"{programs.source}, commit {programs.commit}"}

    report.step("programs", 400, prepare, must=True)
    if programs.paths:
        context = gpu_steps.Context(options, programs, scratch, ROOT, used_bytes, report.left, card)
        begin = time.monotonic()
        for name, limit, must, body in gpu_steps.steps(context):
            report.step(name, limit, body, must)
            if name == gpu_steps.VERDICT[-1]:
                report.verdict(gpu_steps.VERDICT, time.monotonic() - begin)
    good = report.finish()
    print_table(report.data)
    print(f"written: {report.path}")
    return good


def print_table(data):
    """Both steps at each K, ours beside the peers."""
    steps = data["steps"]
    card = data["card"]
    print(f"\n{card['name']}, driver {card['driver']}, commit {data['commit']}")
    print(f"{'':<34} {'K':>2} {'arch. ms':>9} {'weight ms':>9} {'launches':>9} {'MiB':>7}")
    for entry in steps.values():
        row = entry.get("row")
        if row:
            print(
                f"{row['program']:<34} {row['k']:>2} {row['architecture_ms']:>9.2f} {row['weight_ms']:>9.2f} "
                f"{row['launches'] or '':>9} {row['process_mib'] or '':>7}"
            )
    for failure in data["failures"]:
        print(f"FAILED {failure['step']}: {failure['why'][:160]}")
    print("all passed" if not data["failures"] else f"{len(data['failures'])} failures")


def parse_options():
    parser = argparse.ArgumentParser(prog="gpu_check.sh", description=__doc__)
    pack = ROOT if os.path.exists(os.path.join(ROOT, "pack.json")) else os.path.join(ROOT, "gpu-pack")
    parser.add_argument("--json", metavar="FILE", help="default: bench/results/gpu_CARD_DATE.json")
    parser.add_argument("--pack", default=pack, metavar="DIR", help="carried build (default: gpu-pack)")
    parser.add_argument("--build", action="store_true", help="build here even where a carried build runs")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"time for everything (default: {MINUTES})")
    parser.add_argument("--full", action="store_true", help="all 100 epochs of the search, no limit on time")
    parser.add_argument("--python", metavar="PATH", help="interpreter with PyTorch (default: python3)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, run and write nothing")
    options = parser.parse_args()
    if not 0 < options.minutes <= 24 * 60:
        raise CheckError(f"--minutes {options.minutes}: expected more than 0")
    options.pack = os.path.abspath(options.pack)
    return options


def main():
    options = parse_options()
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi counts
    card = find_card()
    print(f"{card['name']}, compute capability {card['compute_capability']}, driver {card['driver']}", flush=True)
    with tempfile.TemporaryDirectory(prefix="drnas-gpu-") as scratch:
        if options.dry_run:
            print(f"would write {options.json or default_path(card)}\nsteps, with limits in seconds:")
            context = gpu_steps.Context(options, Programs({}, {}, "none", None), scratch, ROOT, used_bytes, lambda: 0)
            for name, limit, _, _ in gpu_steps.steps(context):
                print(f"  {name:<30} {limit:.0f}")
            return 0
        return 0 if check(options, card, scratch) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CheckError, OSError, subprocess.SubprocessError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(2)
