# SPDX-License-Identifier: MIT
"""SIGKILL at random times and in the middle of writes; what goes on afterwards ends as if nothing had been."""

import os
import pathlib
import time

import compare
import scenarios
from harness import Progress
from watch import Watch

MINUTES = ("10", "0.005", "0.0005", "0.00005")  # between checkpoints: from one an epoch to one a step
MOST_STARTS = 60  # of a trial, a waiting sweep's included


def aim(trial, scenario, seconds):
    """A moment: after some seconds, or at the n-th change of a file whose path holds a text."""
    if trial.random.random() < 0.4:
        return None, trial.random.uniform(0.0, seconds)
    return trial.random.choice(scenario.targets), trial.random.choice((1, 1, 2, 3, 5, 8, 20))


def wait_for(trial, started, moment):
    """True when the moment is there; False where the process has ended before."""
    target, amount = moment
    if target is None:
        end = time.monotonic() + amount
        while started.running() and time.monotonic() < end:
            time.sleep(0.001)
        return started.running()
    with Watch(trial.folder) as watch:
        while started.running():
            for path in watch.changes(0.05):
                amount -= target in os.path.relpath(path, trial.folder)
                if amount <= 0:
                    time.sleep(trial.random.choice((0, 0, 0, 0.0003, 0.002)))
                    return started.running()
    return False


def children_of(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []


def kill(trial, started):
    """The process; of a sweep it, one of its runs, or all."""
    victims = [started.pid]
    runs = children_of(started.pid)
    if runs:
        victims = trial.random.choice(([started.pid], [trial.random.choice(runs)], [started.pid, *runs]))
    for pid in victims:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    return started.pid in victims


def attempt(trial, scenario, more, moment):
    """One start, with a kill where `moment` comes. True where the program ended well by itself."""
    before = len(compare.temporaries(trial.folder))
    started = trial.start(scenario.again(trial.torture, trial.folder, more))
    if moment and wait_for(trial, started, moment):
        trial.count("kills")
        trial.count("kills in writes" if moment[0] else "kills at a time")
        if kill(trial, started):
            started.wait()
            trial.count("that left a temporary file", len(compare.temporaries(trial.folder)) > before)
            return False
        # A run of a sweep was killed: the sweep names it and goes on with the others.
        trial.expect(started.wait() in (0, 1), f"a sweep whose run was killed: status {started.wait()}")
        return started.wait() == 0
    status, last = started.wait(), (started.errors() or [""])[-1]
    if status == 2 and "or a run that it started, still writes there" in last:
        time.sleep(0.2)  # the killed sweep's runs write their checkpoints
        return False
    trial.expect(status == 0, f"status {status} after a kill: {last}")
    return True


def attack(scenario, kills):
    """A trial: `kills` at most, then to the end."""
    def run(trial):
        more = ("--checkpoint-every", trial.random.choice(MINUTES))
        reference = scenarios.reference(trial.torture, scenario)
        scenario.prepare(trial.torture, trial.folder)
        done, starts = False, 0
        while not done:
            starts += 1
            trial.expect(starts <= MOST_STARTS, f"not finished after {MOST_STARTS} starts")
            done = attempt(trial, scenario, more, aim(trial, scenario, reference.seconds) if starts <= kills else None)
        left = compare.temporaries(trial.folder)
        trial.expect(not left, f"temporary files left at the end: {', '.join(map(str, left))}")
        trial.expect_same(reference.run, trial.folder / "run")
        if scenario.images:
            check_cache(trial, reference)
    return run


def check_cache(trial, reference):
    """The cache is whole: that of the run that nothing befell."""
    caches = [list((folder / "data").glob("*.cache")) for folder in (reference.folder, trial.folder)]
    trial.expect(len(caches[0]) == len(caches[1]) == 1, f"caches {caches[1]}, expected one")
    wanted, found = (compare.cache_content(place[0]) for place in caches)
    trial.expect(found is not None and found == wanted, f"{caches[1][0]} differs")


def count_of(torture):
    return torture.counts.get("kill", {}).get("kills", 0)


def run(torture, kills, names):
    """Trials over these kinds of runs in turn, until so many kills have struck."""
    if not torture.wanted("kill") and not torture.only.startswith("kill/"):
        return
    progress, number = Progress(torture, "kills", kills), 0
    chosen = [scenarios.named(name) for name in names]
    while count_of(torture) < kills and number < 4 * kills:
        scenario = chosen[number % len(chosen)]
        left = kills - count_of(torture)
        torture.trial(f"kill/{scenario.name}/{number // len(chosen) + 1}", attack(scenario, min(left, 5)))
        number += 1
        progress.at(count_of(torture), f", {scenario.name}")
