# SPDX-License-Identifier: MIT
"""What all attacks share: trials with a random generator and a folder each, findings, the table at the end."""

import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import compare

PATIENCE = 600.0  # seconds in which a step that takes seconds must have ended


class Finding(Exception):
    """A line that says what was found."""


class Started:
    """A process with its output in files."""

    def __init__(self, command, folder, number, outputs=None, **more):
        outputs = outputs or folder
        self.out, self.err = outputs / f"{number}.out", outputs / f"{number}.err"
        self.command = [str(word) for word in command]
        with open(outputs / "commands", "a", encoding="utf-8") as stream:
            stream.write(f"{number}: {' '.join(self.command)}\n")
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            more = {"stdout": out, "stderr": err, **more}
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                self.command, cwd=folder, stdin=subprocess.DEVNULL, env={**os.environ, "OMP_WAIT_POLICY": "passive"},
                **more)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def wait(self):
        """The exit status; negative: the signal that ended it."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.end()
            raise Finding(f"has not ended after {PATIENCE:.0f} s: {' '.join(self.command)}") from None

    def end(self):
        self.process.kill()
        self.process.wait()

    def errors(self):
        """The lines of its standard error."""
        return self.err.read_text(encoding="utf-8", errors="replace").splitlines()

    def output(self):
        return self.out.read_text(encoding="utf-8", errors="replace")


class Trial:
    """One try of an attack: a folder in which its programs run, a random generator of its own and the
    processes it started, whose output goes to `outputs`."""

    def __init__(self, torture, name, folder):
        self.torture, self.name, self.folder, self.outputs = torture, name, folder, folder
        self.random = random.Random(f"{torture.seed} {name}")
        self.processes = []
        folder.mkdir(parents=True)

    def start(self, command, **more):
        self.processes.append(Started(command, self.folder, len(self.processes) + 1, self.outputs, **more))
        return self.processes[-1]

    def count(self, what, number=1):
        self.torture.count(self.name.split("/")[0], what, number)

    def end(self):
        for started in self.processes:
            if started.running():
                started.end()

    def expect(self, good, line):
        if not good:
            raise Finding(line)

    def expect_status(self, started, expected):
        status = started.wait()
        last = (started.errors() or ["nothing said"])[-1]
        self.expect(status == expected, f"status {status}, expected {expected}: {last}: {' '.join(started.command)}")

    def expect_same(self, reference, folder):
        lines = compare.differences(reference, folder)
        self.expect(not lines, f"differs from the run that nothing befell: {'; '.join(lines[:4])}")


class Torture:
    """Runs trials and keeps what they count and find."""

    def __init__(self, programs, work, seed, only):
        self.programs, self.work, self.seed, self.only = programs, work, seed, only
        self.counts, self.findings, self.began = {}, [], time.monotonic()

    def program(self, name):
        return self.programs / name

    def say(self, line):
        print(line, flush=True)

    def count(self, attack, what, number=1):
        table = self.counts.setdefault(attack, {})
        table[what] = table.get(what, 0) + number

    def wanted(self, name):
        return not self.only or (name + "/").startswith(self.only.rstrip("/") + "/")

    def trials(self, what, attacks):
        """Runs the (name, attack) of a list in turn, with progress."""
        attacks = [(name, attack) for name, attack in attacks if self.wanted(name)]
        progress = Progress(self, what, len(attacks))
        for number, (name, attack) in enumerate(attacks, 1):
            self.trial(name, attack)
            progress.at(number, f", {name}")

    def trial(self, name, attack):
        """Calls attack(trial); the folder of one with a finding stays. True where it ran without one."""
        if not self.wanted(name):
            return True
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        trial = Trial(self, name, folder)
        try:
            attack(trial)
        except Finding as finding:
            self.findings.append((name, str(finding), folder))
            self.say(f"FOUND {name}: {finding}\n  {folder}\n  {self.command(name)}")
            return False
        finally:
            trial.end()
            self.count(name.split("/")[0], "tries")
        shutil.rmtree(folder)
        return True

    def command(self, name):
        """Repeats a trial."""
        return (f"{sys.argv[0]} --programs {self.programs} --seed {self.seed}"
                f"{' --long' if '--long' in sys.argv else ''} --only {name}")

    def table(self):
        """Attacks, what they did and found."""
        lines = [f"{'attack':<12}{'findings':>9}  counts"]
        for attack, counts in self.counts.items():
            found = sum(name.split("/")[0] == attack for name, _, _ in self.findings)
            text = ", ".join(f"{what} {number}" for what, number in counts.items())
            lines.append(f"{attack:<12}{found:>9}  {text}")
        lines.append(f"seed {self.seed}, {time.monotonic() - self.began:.0f} s, {len(self.findings)} findings")
        return "\n".join(lines)


class Progress:
    """Lines with a count and a rate, at most one in `every` seconds."""

    def __init__(self, torture, what, total, every=5.0):
        self.torture, self.what, self.total, self.every = torture, what, total, every
        self.began = self.last = time.monotonic()

    def at(self, count, more=""):
        now = time.monotonic()
        if now - self.last < self.every and count < self.total:
            return
        self.last = now
        rate = count / max(now - self.began, 1e-9)
        self.torture.say(f"{self.what} {count}/{self.total}, {60 * rate:.1f} a minute{more}")


def wait_until(condition, what, started=None, pause=0.002):
    """Waits for the condition; a finding where it never comes. False where the process ended before."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if started and not started.running():
            return bool(condition())
        if time.monotonic() > end:
            raise Finding(f"waited {PATIENCE:.0f} s in vain: {what}")
        time.sleep(pause)
    return True


def path_of(text):
    return pathlib.Path(text).resolve()
