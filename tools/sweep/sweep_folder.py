# SPDX-License-Identifier: MIT
"""The folder of a sweep: OUT/<row>/seed<N> is a run folder of drnas_search, beside it seed<N>.out and
seed<N>.err hold what the program printed. What a run has reached is read from its log.jsonl alone,
so that a sweep can go on after any end."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import tomllib

from sweep_definition import Row, SweepError, option_text

# Options that may differ when a run goes on: they change neither a result nor what is recorded of it.
FREE = {"out", "seed", "seeds", "checkpoint-every", "log-every", "quiet", "cache", "threads", "no-graph"}


@dataclasses.dataclass(eq=False)
class Run:
    """One search of the sweep."""
    row: Row
    seed: int
    path: pathlib.Path
    epochs: int = 0         # configured
    planned_bytes: int = 0  # of the device's memory

    @property
    def name(self):
        return f"{self.row.name}, seed {self.seed}"

    @property
    def out(self):
        return self.path.with_name(self.path.name + ".out")

    @property
    def err(self):
        return self.path.with_name(self.path.name + ".err")

    @property
    def started(self):
        return (self.path / "config.toml").exists()

    def program(self):
        """Version and commit that began the run: what follows the sign in config.toml's first line."""
        with open(self.path / "config.toml", encoding="utf-8") as stream:
            return stream.readline().strip("# \n")

    def log(self):
        """The epochs of log.jsonl. A last line that was cut short is left out."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.path / "log.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
            try:
                return [json.loads(line) for line in lines]
            except json.JSONDecodeError as failure:
                raise SweepError(f"{self.path / 'log.jsonl'}: no JSON object on each line: {failure}") from failure
        return []

    def selection(self):
        """What --select has ended with: the last line of selection.jsonl, None before there is one."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.path / "selection.jsonl").read_text(encoding="utf-8").splitlines()
            try:
                last = json.loads(lines[-1]) if lines else {}
            except json.JSONDecodeError as failure:
                raise SweepError(f"{self.path / 'selection.jsonl'}: no JSON object on each line: {failure}") from failure
            return last if "genotype" in last else None
        return None

    def selects(self):
        with contextlib.suppress(FileNotFoundError), open(self.path / "config.toml", "rb") as stream:
            return tomllib.load(stream).get("select", "argmax") != "argmax"
        return False

    def ended(self, log):
        """The last epoch is there, or --stop-on has ended the search before it; and a selection, if one was wanted."""
        last = bool(log) and (log[-1]["epoch"] >= self.epochs or "stopped_on" in log[-1])
        return last and (not self.selects() or self.selection() is not None)

    def finished(self):
        return self.ended(self.log()) and self.settled()

    def settled(self):
        """The checkpoint came after the log: a run that was killed between the two is resumed."""
        with contextlib.suppress(FileNotFoundError):
            written = [(self.path / name).stat().st_mtime_ns for name in ("log.jsonl", "checkpoint.safetensors")]
            return written[0] <= written[1]
        return True

    def epochs_left(self):
        log = self.log()
        return 0 if self.ended(log) else self.epochs - len(log)

    def clear_empty(self):
        """Takes away a folder in which the program wrote nothing before it was killed."""
        with contextlib.suppress(OSError):
            self.path.rmdir()


def runs_of(definition, out):
    """Every run, first all rows with the first seed, so that each row soon has a result."""
    out = pathlib.Path(out)
    return [Run(row, seed, out / row.folder / f"seed{seed}") for seed in definition.seeds for row in definition.rows]


def stored_options(path):
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as failure:
        raise SweepError(f"{path}: {failure}, expected the configuration of a run") from failure


def check_unchanged(run, options):
    """Throws SweepError where the run was started with other options than all those of its
    definition now, as the program resolves them."""
    if not run.started:
        return
    stored = stored_options(run.path / "config.toml")
    if stored.get("seed") != run.seed:
        raise SweepError(f"{run.path}: seed {stored.get('seed')}, expected {run.seed}")
    for name in sorted((options.keys() | stored.keys()) - FREE):
        if options.get(name) != stored.get(name):
            raise SweepError(f"--{name} {option_text(options.get(name))}: expected {option_text(stored.get(name))}, "
                             f"with which {run.path} was started; a changed definition needs another --out")


class Lock:
    """Keeps a second sweep out of the folder. Runs hold it too, so that it lasts until those of a killed
    sweep have ended."""

    def __init__(self, out):
        os.makedirs(out, exist_ok=True)
        self.descriptor = os.open(os.path.join(out, "sweep.lock"), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.descriptor)
            raise SweepError(f"--out {out}: another sweep, or a run that it started, still writes there; "
                             "expected it to have ended") from None
