# SPDX-License-Identifier: MIT
"""Signals: those that ask for an end give a checkpoint and their exit status, the others change nothing."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import compare
import scenarios
import tensors
from harness import wait_until

ENDING = ("TERM", "INT", "HUP")


def has_begun(trial):
    """The record of a session is written once signals are caught and the run's folder is there."""
    return any(trial.folder.glob("run/**/run.json"))


def begin(trial, scenario, more=(), **how):
    started = trial.start(scenario.first(trial.torture, more), **how)
    wait_until(lambda: has_begun(trial), "run.json", started)
    return started


def check_checkpoint(trial, folder):
    path = folder / "checkpoint.safetensors"
    trial.expect(path.exists(), f"{path}: no checkpoint")
    try:
        tensors.read(path)
    except tensors.Damaged as failure:
        trial.expect(False, str(failure))


def newest_run(trial):
    return max(trial.folder.glob("run/**/run.json"), key=lambda path: path.stat().st_mtime_ns).parent


def finish(trial, scenario, reference):
    """Goes on to the end: the same bits."""
    trial.expect_status(trial.start(scenario.again(trial.torture, trial.folder)), 0)
    trial.expect_same(reference.run, trial.folder / "run")


def signalled(trial, scenario, name, most):
    """Sends the signal within so many seconds. False where the run had ended by then; a sweep whose runs have all
    ended has nothing to write any more and ends at once."""
    number = signal.Signals[f"SIG{name}"]
    started = begin(trial, scenario)
    time.sleep(trial.random.uniform(0, most))
    if started.running():
        os.kill(started.pid, number)
    status = started.wait()
    if status == 0 or (scenario.name == "sweep" and status == -number):
        trial.count("signals too late")
        return False
    trial.count(f"{name} sent")
    trial.expect(status == 128 + number, f"status {status} after {name}, expected {128 + number}")
    if scenario.name != "sweep":
        check_checkpoint(trial, newest_run(trial))
        trial.expect(len(started.errors()) > 0 and "--resume" in started.errors()[-1],
                     f"last line after {name}: {started.errors()[-1:]}, expected one with --resume")
    return True


def ending(scenario, name):
    """The signal `name` at a random time of a run: 128 + its number, a checkpoint, a line that says how to go on."""
    def run(trial):
        reference = scenarios.reference(trial.torture, scenario)
        scenario.prepare(trial.torture, trial.folder)
        most = 0.6 * reference.seconds
        while not signalled(trial, scenario, name, most):
            trial.expect_same(reference.run, trial.folder / "run")
            shutil.rmtree(trial.folder / "run")
            most /= 2
        finish(trial, scenario, reference)
    return run


def interrupted_twice(trial, scenario):
    """The exit status after two SIGINT within one step, or 130 where the step ended between them."""
    started = begin(trial, scenario)
    time.sleep(0.2)
    os.kill(started.pid, signal.SIGINT)
    wait_until(lambda: not caught(started.pid), "the first SIGINT's handler", started)
    if started.running():
        os.kill(started.pid, signal.SIGINT)
    return started.wait()


def second_interrupt(trial):
    """In a step of half a second: the first SIGINT waits for its end, the second does not."""
    scenario = scenarios.named("slow")
    reference = scenarios.reference(trial.torture, scenario)
    for _ in range(5):
        status = interrupted_twice(trial, scenario)
        if status != 128 + signal.SIGINT:
            break
        trial.count("signals too late")
        shutil.rmtree(trial.folder / "run")
    trial.count("second INT sent")
    trial.expect(status == -signal.SIGINT, f"status {status} after a second INT, expected {-signal.SIGINT}")
    finish(trial, scenario, reference)


def caught(pid):
    """Does the process have a handler for SIGINT?"""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("SigCgt:"):
            return int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1
    return 0


def pause(scenario):
    """SIGSTOP for a moment: nothing is written meanwhile, nothing is lost."""
    def run(trial):
        reference = scenarios.reference(trial.torture, scenario)
        scenario.prepare(trial.torture, trial.folder)
        started = begin(trial, scenario)
        for _ in range(3):
            time.sleep(trial.random.uniform(0, 0.2 * reference.seconds))
            if not started.running():
                break
            os.kill(started.pid, signal.SIGSTOP)
            trial.count("STOP sent")
            time.sleep(0.2)
            os.kill(started.pid, signal.SIGCONT)
        trial.expect_status(started, 0)
        trial.expect_same(reference.run, trial.folder / "run")
    return run


def pipe(scenario):
    """SIGPIPE, sent: ignored."""
    def run(trial):
        reference = scenarios.reference(trial.torture, scenario)
        scenario.prepare(trial.torture, trial.folder)
        started = begin(trial, scenario)
        time.sleep(trial.random.uniform(0, 0.6 * reference.seconds))
        if started.running():
            os.kill(started.pid, signal.SIGPIPE)
            trial.count("PIPE sent")
        trial.expect_status(started, 0)
        trial.expect_same(reference.run, trial.folder / "run")
    return run


def reader_gone(scenario, stream):
    """Whoever read the output ends, as `| head -1`: the run may say that its output was lost, but reaches its end."""
    def run(trial):
        reference = scenarios.reference(trial.torture, scenario)
        scenario.prepare(trial.torture, trial.folder)
        started = begin(trial, scenario, ("--log-every", "0.01"), **{stream: subprocess.PIPE})
        getattr(started.process, stream).close()
        status = started.wait()
        trial.count(f"readers of {stream} gone")
        trial.expect(status in (0, 2), f"status {status} where the reader of {stream} ended, expected 0 or 2")
        for folder in [trial.folder / "run"] if not scenario.many else sorted((trial.folder / "run").glob("seed-*")):
            check_checkpoint(trial, folder)
        lines = compare.differences(reference.run, trial.folder / "run")
        trial.expect(not lines, f"the run did not reach its end: {'; '.join(lines[:3])}")
    return run


def run(torture, rounds, names):
    """Every signal, on these kinds of runs in turn."""
    kinds = [scenarios.named(name) for name in names]
    trials = []
    for turn in range(rounds):
        kind = kinds[turn % len(kinds)]
        trials += [(f"{name}/{kind.name}", ending(kind, name)) for name in ENDING]
        if kind.name == "sweep":
            continue
        trials += [(f"STOP/{kind.name}", pause(kind)), (f"PIPE/{kind.name}", pipe(kind))]
        trials += [(f"reader-of-{stream}/{kind.name}", reader_gone(kind, stream)) for stream in ("stdout", "stderr")]
    trials += [("second-INT/slow", second_interrupt)] * min(rounds, 3)
    torture.trials("signals", [(f"signal/{name}/{sum(other == name for other, _ in trials[:place]) + 1}", attack)
                               for place, (name, attack) in enumerate(trials)])
