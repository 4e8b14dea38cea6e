# SPDX-License-Identifier: MIT
"""Disks without room and files that must not grow: one line that names the file, status 2, nothing lost; with
room again the run goes on to the same bits."""

import errno
import os
import pathlib
import re
import resource
import shutil

import compare
import scenarios
import tensors
from harness import wait_until
from small_disk import PAGE, SmallDisk, own_mounts

SIZE = 4 << 20
NAMES = ("config.toml", "run.json", "log.jsonl", "genotype.txt", "checkpoint.safetensors", "weights.safetensors")
# Pages that a run finds: room for config.toml, then run.json, genotype or log, and so on up to whole runs.
AT_START = (0, 1, 2, 3, 4, 6, 12, 24, 36, 48, 60, 80)
IN_FLIGHT = (0, 1, 4, 10, 20, 30, 40)
LIMITS = (500, 1500, 2000, 50_000, 100_000, 150_000)  # bytes of a file: config.toml, log, weights, checkpoint


def check_failure(trial, started, reason, place="run"):
    """Status 2 and one line, which names a file of the run. Gives the file's name."""
    status, lines = started.wait(), started.errors()
    trial.expect(status == 2, f"status {status}, expected 2 where {reason}: {lines[-1:]}")
    trial.expect(len(lines) == 1 and lines[0].startswith("error: "), f"{len(lines)} lines, expected one: {lines[:3]}")
    trial.expect(os.strerror(reason) in lines[0], f"{lines[0]}: expected '{os.strerror(reason)}'")
    named = re.findall(rf"{place}/([\w./-]+)", lines[0])
    trial.expect(bool(named), f"{lines[0]}: names no file of {place}")
    name = pathlib.PurePath(named[-1].rstrip(".:")).name
    trial.expect(name in NAMES, f"{lines[0]}: expected one of {', '.join(NAMES)}")
    trial.count(f"{name} failed")
    return name


def epochs_in(folder):
    """Whole epochs in the log."""
    path = folder / "log.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def step_of(folder):
    """Epoch and step of the checkpoint; None where there is none."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return None
    content = tensors.read(path)[1]
    return tuple(int.from_bytes(content[f"progress.{name}"][2], "little") for name in ("epoch", "step"))


def finish(trial, scenario, reference):
    trial.expect_status(trial.start(scenario.again(trial.torture, trial.folder)), 0)
    trial.expect_same(reference.run, trial.folder / "run")


class OnSmallDisk:
    """Runs of a trial whose folder is a small disk."""

    def __init__(self, trial):
        self.trial = trial
        self.disk = SmallDisk(trial.folder / "disk", SIZE)
        trial.folder = pathlib.Path(self.disk.folder)

    def __enter__(self):
        return self.disk

    def __exit__(self, kind, *_):
        self.trial.end()
        if kind is not None:
            shutil.copytree(self.disk.folder, self.trial.outputs / "kept", ignore=lambda *_: ["filler"])
        self.disk.unmount()
        self.trial.folder = self.trial.outputs


def full_at_start(scenario, pages):
    """A run that finds so many free pages."""
    def run(trial):
        reference = scenarios.reference(trial.torture, scenario)
        with OnSmallDisk(trial) as disk:
            disk.fill(pages)
            started = trial.start(scenario.first(trial.torture))
            if started.wait() != 0:
                check_failure(trial, started, errno.ENOSPC)
            disk.free()
            if (trial.folder / "run").exists() or started.wait() != 0:
                finish(trial, scenario, reference)
    return run


def full_in_flight(scenario, pages):
    """The disk fills while a run goes on: the last checkpoint stays."""
    def run(trial):
        reference = scenarios.reference(trial.torture, scenario)
        folder = None
        with OnSmallDisk(trial) as disk:
            folder = trial.folder / "run"
            started = trial.start(scenario.first(trial.torture))
            wait_until(lambda: step_of(folder), "a checkpoint", started)
            disk.fill(pages)
            before = step_of(folder)
            if started.wait() != 0:
                check_failure(trial, started, errno.ENOSPC)
                after = step_of(folder)
                trial.expect(after and after >= before, f"checkpoint at epoch, step {after}, expected {before} or later")
            else:
                trial.count("runs that had room")
            disk.free()
            finish(trial, scenario, reference)
    return run


def file_limit(scenario, most):
    """No file may grow beyond so many bytes."""
    def run(trial):
        reference = scenarios.reference(trial.torture, scenario)
        started = trial.start(scenario.first(trial.torture), preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY)))
        if started.wait() != 0:
            check_failure(trial, started, errno.EFBIG)
        finish(trial, scenario, reference)
    return run


def mentions(started, text):
    return [line for line in started.output().splitlines() + started.errors() if text in line]


def no_room_for_cache(trial):
    """A cache that cannot be written is said once and ends no run."""
    scenario = scenarios.named("cache")
    reference = scenarios.reference(trial.torture, scenario)
    scenario.prepare(trial.torture, trial.folder)
    disk = SmallDisk(trial.folder / "small", 16 * PAGE)
    try:
        started = trial.start(scenario.first(trial.torture, ("--cache", "small/packed.cache")))
        trial.expect_status(started, 0)
        lines = mentions(started, "packed.cache")
        trial.expect(len(lines) == 1, f"{len(lines)} lines about the cache that was not written, expected one: {lines[:2]}")
        trial.count("cache failed")
        trial.expect(os.listdir(disk.folder) == [], f"beside the cache: {os.listdir(disk.folder)}")
        for name in ("log.jsonl", "genotype.txt", "checkpoint.safetensors"):
            what = compare.difference(name, reference.run / name, trial.folder / "run" / name)
            trial.expect(not what, f"{name}: {what}")
    finally:
        disk.unmount()


def no_room_for_events(trial):
    """TensorBoard's events that cannot be written are said once and end no run."""
    scenario = scenarios.named("search")
    reference = scenarios.reference(trial.torture, scenario)
    (trial.folder / "events").mkdir()
    disk = SmallDisk(trial.folder / "events", 2 * PAGE)
    try:
        started = trial.start(scenario.first(trial.torture, ("--tensorboard", "--checkpoint-every", "0.0001")))
        wait_until((trial.folder / "run" / "checkpoint.safetensors").exists, "a checkpoint", started)
        os.kill(started.pid, 2)
        trial.expect(started.wait() == 130, f"status {started.wait()} after INT, expected 130")
        shutil.rmtree(trial.folder / "run" / "tensorboard", ignore_errors=True)
        os.symlink("../events", trial.folder / "run" / "tensorboard")
        started = trial.start(scenario.again(trial.torture, trial.folder))
        trial.expect_status(started, 0)
        lines = mentions(started, "--tensorboard")
        trial.expect(len(lines) == 1 and "events.out" in lines[0],
                     f"{len(lines)} lines about events that were not written, expected one: {lines[:2]}")
        trial.count("events failed")
        for name in ("log.jsonl", "genotype.txt", "checkpoint.safetensors"):
            what = compare.difference(name, reference.run / name, trial.folder / "run" / name)
            trial.expect(not what, f"{name}: {what}")
    finally:
        disk.unmount()


def trials_of(long, mounting):
    kinds = [scenarios.named(name) for name in (("search", "training", "stages") if long else ("search",))]
    trials = []
    for kind in kinds:
        trials += [(f"limit-{most}/{kind.name}", file_limit(kind, most)) for most in (LIMITS if long else LIMITS[::3])]
        if mounting:
            trials += [(f"start-{pages}/{kind.name}", full_at_start(kind, pages)) for pages in (AT_START if long else (0, 12))]
            trials += [(f"flight-{pages}/{kind.name}", full_in_flight(kind, pages)) for pages in (IN_FLIGHT if long else (4,))]
    if mounting:
        trials += [("cache/cache", no_room_for_cache), ("events/search", no_room_for_events)]
    return trials


def run(torture, long):
    try:
        own_mounts()
        mounting = True
    except OSError as failure:
        torture.say(f"full disks: limits of file sizes alone, a tmpfs cannot be mounted here: {failure}")
        mounting = False
    torture.trials("full disks", [(f"disk/{name}", attack) for name, attack in trials_of(long, mounting)])
