# SPDX-License-Identifier: MIT
"""Runs the searches of a sweep, as many at once as processors and memory allow."""

import ctypes
import dataclasses
import os
import re
import signal
import subprocess
import time
import tomllib

from sweep_definition import SweepError, option_arguments
from sweep_folder import check_unchanged
from sweep_memory import mebibytes

POLL_SECONDS = 0.1
TOTAL_SECONDS = 600.0  # longest time between total lines
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def program_text(program, arguments):
    """What the program prints. Throws SweepError with its last line where it fails."""
    try:
        done = subprocess.run([program] + arguments, capture_output=True, text=True, check=False)
    except OSError as failure:
        raise SweepError(f"--program {program}: {failure.strerror}, expected drnas_search") from failure
    if done.returncode != 0:
        raise SweepError(last_line(done.stderr) or f"{program} ended with status {done.returncode}")
    return done.stdout


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def duration(seconds):
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def cores():
    return len(os.sched_getaffinity(0))


def plan(program, definition, runs, threads):
    """Asks the program what each row's options mean and need, sets that in `runs` and returns the
    device. Throws SweepError where an option is wrong or a run was started with another."""
    devices = set()
    for row in definition.rows:
        mine = [run for run in runs if run.row is row]
        options = option_arguments(definition.run_options(row))
        try:
            text = program_text(program, options + ["--threads", str(threads), "--dry-run",
                                                    "--out", str(mine[0].path.with_name("plan"))])
        except SweepError as failure:
            raise SweepError(f"row '{row.name}': {failure}") from failure
        found = re.search(r"^# planned peak bytes (\d+) on (cpu|cuda)$", text, re.MULTILINE)
        if not found:
            raise SweepError(f"{program} --dry-run: no line '# planned peak bytes', expected a newer drnas_search")
        resolved = tomllib.loads(text)
        devices.add(found.group(2))
        for run in mine:
            run.epochs, run.planned_bytes = resolved["epochs"], int(found.group(1))
            check_unchanged(run, resolved)
    if len(devices) > 1:
        raise SweepError("rows on the CPU and on a GPU, expected one --device for all")
    return devices.pop()


def processes(device, jobs, threads):
    """Runs at once and threads of each: on the CPU a run a core, on a GPU one run."""
    if device == "cuda":
        jobs = jobs or 1
        return jobs, threads or max(1, cores() // jobs)
    threads = threads or 1
    return jobs or max(1, cores() // threads), threads


@dataclasses.dataclass
class Child:
    """A run's process."""
    process: subprocess.Popen
    error_start: int    # size of the run's .err file before
    told: bool = False  # to stop: a second SIGINT would end it without a checkpoint


class Runner:
    """Starts runs, follows them and stops them."""

    def __init__(self, command, memory, jobs, lock, say):
        self.command = command  # of a run: program and options
        self.memory, self.jobs, self.lock, self.say = memory, jobs, lock, say
        self.waiting, self.children, self.failures = [], {}, {}
        self.runs, self.began, self.epochs_before, self.last_total = [], 0.0, 0, 0.0
        self.stopped = 0   # the signal
        self.kill = False  # a second one came

    def run(self, runs):
        """Runs all that are not finished. Returns the signal that ended it early, or 0; `failures`
        then holds a line for each run that failed."""
        self.runs = runs
        self.waiting = [run for run in runs if not run.finished()]
        self.began, self.epochs_before = time.monotonic(), self.epochs_left()
        for run in runs:
            if run not in self.waiting:
                self.say(f"kept    {run.name}")
        before = {number: signal.signal(number, self.on_signal) for number in SIGNALS}
        try:
            while self.waiting or self.children:
                self.step()
        finally:
            self.stop_children()
            for child in self.children.values():
                child.process.wait()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self.stopped

    def step(self):
        changed = self.start_some()
        time.sleep(POLL_SECONDS)
        for run, child in list(self.children.items()):
            if child.process.poll() is not None:
                del self.children[run]
                self.end(run, child)
                changed = True
        if changed or time.monotonic() - self.last_total > TOTAL_SECONDS:
            self.total()

    def on_signal(self, number, _frame):
        if self.stopped:
            self.kill = True
        self.stopped = self.stopped or number
        self.stop_children()

    def stop_children(self):
        for child in self.children.values():
            if self.kill:
                child.process.kill()
            elif not child.told:
                child.told = True
                child.process.send_signal(signal.SIGINT)

    def start_some(self):
        """Starts runs until processors or memory are taken; true where one has changed state."""
        changed = False
        while self.waiting and len(self.children) < self.jobs and not self.stopped:
            run, free = self.waiting[0], self.memory.room(self.children)
            if self.memory.need(run) > free:
                if self.children:
                    break
                self.fail(run, self.memory.refusal(run, free))
            else:
                self.start(run)
            self.waiting.pop(0)
            changed = True
        if self.stopped:
            self.waiting.clear()
        return changed

    def start(self, run):
        run.path.parent.mkdir(parents=True, exist_ok=True)
        run.clear_empty()
        done = len(run.log())
        more = ["--resume"] if run.started else []
        with open(run.out, "ab") as out, open(run.err, "ab") as err:
            self.children[run] = Child(
                subprocess.Popen(  # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
                    self.command(run) + more, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                    env={"OMP_WAIT_POLICY": "passive", **os.environ}, pass_fds=[self.lock.descriptor],
                    start_new_session=True, preexec_fn=die_with_parent),
                err.tell())
        if self.stopped:  # the signal came before the child was known
            self.stop_children()
        self.say(f"{'resumed' if more else 'started'} {run.name}" +
                 (f", {done} of {run.epochs} epochs done" if more else ""))

    def end(self, run, child):
        if child.process.returncode == 0 and run.finished():
            self.say(f"done    {run.name}")
            return
        if self.stopped:
            self.say(f"stopped {run.name}, {len(run.log())} of {run.epochs} epochs done")
            return
        with open(run.err, "rb") as err:
            err.seek(child.error_start)
            text = last_line(err.read().decode(errors="replace"))
        self.fail(run, f"{run.name}: {text or f'ended with status {child.process.returncode}'}")

    def fail(self, run, line):
        self.failures[run] = line
        self.say(f"failed  {line}")

    def epochs_left(self):
        return sum(run.epochs_left() for run in self.runs if run not in self.failures)

    def total(self):
        self.last_total = time.monotonic()
        done = sum(run.finished() for run in self.runs)
        left = self.epochs_left()
        seconds = self.last_total - self.began
        rate = (self.epochs_before - left) / seconds if seconds > 0 else 0
        text = f"total   {done}/{len(self.runs)} runs, {len(self.children)} running, {len(self.failures)} failed"
        if rate > 0:
            text += f", {60 * rate:.2f} epochs a minute, {duration(left / rate)} left"
        self.say(text)


def die_with_parent():
    """Where the sweep is killed, its runs write a checkpoint and end, as on Ctrl-C."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def run_command(program, definition, threads):
    """The command of each run."""
    def command(run):
        return ([program] + option_arguments(definition.run_options(run.row)) +
                ["--seed", str(run.seed), "--threads", str(threads), "--out", str(run.path)])
    return command


def fail_where_too_big(memory, runs):
    """Before anything starts."""
    free = memory.room({})
    for run in runs:
        if not run.finished() and memory.need(run) > free:
            raise SweepError(memory.refusal(run, free))


def describe(run):
    """For --dry-run."""
    state = "finished" if run.finished() else f"{len(run.log())} of {run.epochs} epochs"
    return f"{run.name}: {state}, {mebibytes(run.planned_bytes)}"
