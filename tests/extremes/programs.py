# SPDX-License-Identifier: MIT
"""Runs the programs within limits and says what was wrong with how a run ended."""

import concurrent.futures
import dataclasses
import os
import pathlib
import signal
import subprocess
import tempfile
import time

FOLDER = pathlib.Path()  # of the programs
SANITIZED = False  # sanitizers multiply time and memory: only hangs show there
SECONDS, MEGABYTES = 10, 2048  # what a run may take; seconds of a processor, so that a busy machine changes nothing
PATIENCE = 20  # as many seconds of the clock for each of them, then it hangs
LONGEST_LINE = 5000  # of an error, which may repeat a path


@dataclasses.dataclass
class Outcome:
    command: list
    status: int  # of the process; minus the signal that ended it
    out: str
    err: str
    seconds: float  # of a processor
    megabytes: float  # the most that was resident
    late: bool  # took more, or was ended by this test

    def said(self):
        """All but the length of it."""
        words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in self.command[1:]]
        shown = " ".join(word[:60].encode("unicode_escape").decode() for word in words)
        return (f"{pathlib.Path(self.command[0]).name} {shown}: status {self.status}, {self.seconds:.1f} s, "
                f"{self.megabytes:.0f} MiB, error {self.err[:400]!r}")


def path(name):
    return FOLDER / name


def wait(process, seconds):
    """Status, resource use, and whether the process had to be ended."""
    deadline = time.monotonic() + seconds
    ended = False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage, ended
        if not ended and time.monotonic() > deadline:
            ended = True
            process.send_signal(signal.SIGKILL)
        time.sleep(0.002)


def run(command, folder, seconds=SECONDS):
    """The program in `folder`, with one thread unless the command says otherwise."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                              env=environment) as process:
            status, usage, ended = wait(process, seconds * PATIENCE)
        taken = usage.ru_utime + usage.ru_stime
        late = ended or (taken > seconds and not SANITIZED)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
    return Outcome(command, status, *texts, taken, usage.ru_maxrss / 1024, late)


def run_all(commands, folder, seconds=SECONDS):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda command: run(command, folder, seconds), commands))


def refusal(outcome):
    """The line of an error without "error: "; None where it is not exactly one such line of printable characters."""
    lines = outcome.err.split("\n")
    if len(lines) != 2 or lines[1] or not lines[0].startswith("error: ") or len(lines[0]) > LONGEST_LINE:
        return None
    return lines[0].removeprefix("error: ") if lines[0].isprintable() else None


def fault(outcome, names=()):
    """What was wrong: nothing where the run ended well, or with status 2 and one line of error that holds one of
    `names`, within the limits of all runs."""
    if outcome.late:
        return f"too slow: {outcome.said()}"
    if outcome.megabytes > MEGABYTES and not SANITIZED:
        return f"more than {MEGABYTES} MiB: {outcome.said()}"
    if outcome.status == 0:
        return None
    line = refusal(outcome)
    if outcome.status != 2 or line is None:
        return f"neither a result nor one line of error: {outcome.said()}"
    if names and not any(name in line for name in names):
        return f"an error without any of {list(names)}: {outcome.said()}"
    return None
