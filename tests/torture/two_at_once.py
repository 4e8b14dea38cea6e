# SPDX-License-Identifier: MIT
"""Two processes at once in one folder: one goes on to the same bits, the other says in one line that it is not
alone."""

import os
import time

import compare
import scenarios
from harness import wait_until

ALONE = ("another process works", "another sweep", " exists")


def race(trial, commands):
    """Starts all within moments. One must end well, each other with one line; gives the one that did."""
    started = []
    for command in commands:
        started.append(trial.start(command))
        time.sleep(trial.random.choice((0, 0, 0.001, 0.01, 0.05)))
    good = [process for process in started if process.wait() == 0]
    for process in started:
        if process in good:
            continue
        lines = process.errors()
        trial.expect(process.wait() == 2, f"status {process.wait()} of the second, expected 2: {lines[-1:]}")
        trial.expect(len(lines) == 1 and any(text in lines[0] for text in ALONE),
                     f"the second says {lines[:3]}, expected one line: another process works there")
        trial.count("refused")
    trial.expect(len(good) == 1, f"{len(good)} of {len(started)} ended well, expected one")
    return started.index(good[0])


def interrupted(trial, scenario, seconds):
    """A run that was stopped early."""
    started = trial.start(scenario.first(trial.torture))
    wait_until(lambda: any(trial.folder.glob("run/**/run.json")), "run.json", started)
    time.sleep(trial.random.uniform(0, 0.2 * seconds))
    os.kill(started.pid, 2)
    started.wait()


def two_resumes(scenario):
    def run(trial):
        reference = scenarios.reference(trial.torture, scenario)
        interrupted(trial, scenario, reference.seconds)
        race(trial, [scenario.again(trial.torture, trial.folder)] * 2)
        trial.expect_same(reference.run, trial.folder / "run")
    return run


def two_new(first, second):
    def run(trial):
        kinds = [first, second]
        references = [scenarios.reference(trial.torture, kind) for kind in kinds]
        for kind in set(kinds):
            kind.prepare(trial.torture, trial.folder)
        winner = race(trial, [kind.first(trial.torture) for kind in kinds])
        trial.expect_same(references[winner].run, trial.folder / "run")
    return run


def new_beside_resume(first, second):
    """A run goes on while another kind of program tries to begin or go on there."""
    def run(trial):
        reference = scenarios.reference(trial.torture, first)
        interrupted(trial, first, reference.seconds)
        others = ([trial.torture.program(second.program), "--out", "run", "--resume"], second.first(trial.torture))
        keep = trial.start(first.again(trial.torture, trial.folder))
        other = trial.start(trial.random.choice(others))
        trial.expect(other.wait() == 2 and len(other.errors()) == 1,
                     f"status {other.wait()} of {second.program}, expected 2 and one line: {other.errors()[:3]}")
        trial.count("refused")
        trial.expect_status(keep, 0)
        trial.expect_same(reference.run, trial.folder / "run")
    return run


def one_cache(trial):
    """Two runs write the same cache: both go on, it is whole."""
    scenario = scenarios.named("cache")
    reference = scenarios.reference(trial.torture, scenario)
    scenario.prepare(trial.torture, trial.folder)
    folders = [trial.folder / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "data").symlink_to("../data")
    # Each in a folder of its own, so that both are the run of the reference.
    started = []
    for folder in folders:
        trial.folder = folder
        started.append(trial.start(scenario.first(trial.torture)))
    trial.folder = folders[0].parent
    for process, folder in zip(started, folders):
        trial.expect_status(process, 0)
        lines = compare.differences(reference.run, folder / "run")
        trial.expect(not lines, f"{folder.name}: {'; '.join(lines[:3])}")
    caches = list((trial.folder / "data").glob("*.cache"))
    wanted = compare.cache_content(next((reference.folder / "data").glob("*.cache")))
    trial.expect(len(caches) == 1 and wanted is not None and compare.cache_content(caches[0]) == wanted,
                 f"caches {caches}: expected one, that of the reference")
    left = compare.temporaries(trial.folder / "data")
    trial.expect(not left, f"left beside the cache: {left}")
    trial.count("caches written by two")


def run(torture, tries):
    search, training, sweep = (scenarios.named(name) for name in ("search", "training", "sweep"))
    kinds = [("resume/search", two_resumes(search)), ("resume/training", two_resumes(training)),
             ("new/search", two_new(search, search)), ("new/mixed", two_new(search, training)),
             ("new/sweep", two_new(sweep, sweep)), ("beside/search", new_beside_resume(search, training)),
             ("beside/training", new_beside_resume(training, search)), ("cache/cache", one_cache)]
    if tries == 1:
        kinds = [kinds[0], kinds[3], kinds[7]]
    torture.trials("two at once", [(f"two/{name}/{turn}", attack) for turn in range(1, tries + 1) for name, attack in kinds])
