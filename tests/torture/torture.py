#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Attacks real runs of drnas_search, drnas_train and drnas_sweep, lets them go on and compares with runs that
nothing befell: the same bits. Exit status 1 where something is found, with the command that repeats it."""

import argparse
import os
import pathlib
import shutil
import signal
import sys
import tempfile

sys.dont_write_bytecode = True

import full_disk  # noqa: E402  pylint: disable=wrong-import-position
import kills  # noqa: E402  pylint: disable=wrong-import-position
import long_run  # noqa: E402  pylint: disable=wrong-import-position
import self_check  # noqa: E402  pylint: disable=wrong-import-position
import stop_signals  # noqa: E402  pylint: disable=wrong-import-position
import two_at_once  # noqa: E402  pylint: disable=wrong-import-position
from harness import Torture, path_of  # noqa: E402  pylint: disable=wrong-import-position

SHORT_KINDS = ("search", "stages", "training", "cache")
LONG_KINDS = ("search", "stages", "darts", "seeds", "then-train", "training", "cache", "sweep")
SIGNAL_KINDS = ("search", "training", "darts", "then-train", "seeds", "sweep")
LONG_EPOCHS = 120


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--programs", type=path_of, required=True, metavar="DIR",
                        help="folder of drnas_search and drnas_train")
    parser.add_argument("--long", action="store_true", help="all of it, a quarter of an hour on two cores; else a minute")
    parser.add_argument("--kills", type=int, metavar="N", help="how many (default: 10, with --long 240)")
    parser.add_argument("--seed", default=os.environ.get("DRNAS_TEST_SEED", "1"),
                        help="of everything random (default: %(default)s)")
    parser.add_argument("--only", metavar="NAME", help="attacks and trials of this name, as in kill or kill/search/3")
    parser.add_argument("--work", type=path_of, metavar="DIR", help="new folder for all runs (default: a temporary one)")
    return parser.parse_args()


def attack(torture, arguments):
    torture.say(f"seed {arguments.seed}, runs in {torture.work}")
    self_check.run(torture)
    kills.run(torture, arguments.kills or (240 if arguments.long else 10),
              LONG_KINDS if arguments.long else SHORT_KINDS)
    stop_signals.run(torture, len(SIGNAL_KINDS) if arguments.long else 1, SIGNAL_KINDS)
    two_at_once.run(torture, 6 if arguments.long else 1)
    full_disk.run(torture, arguments.long)
    if arguments.long:
        long_run.run(torture, LONG_EPOCHS)


def main():
    arguments = parse_arguments()
    for name in ("drnas_search", "drnas_train"):
        if not os.access(arguments.programs / name, os.X_OK):
            print(f"error: --programs {arguments.programs}: no {name} there, expected a build", file=sys.stderr)
            return 2
    if arguments.work and arguments.work.exists():
        print(f"error: --work {arguments.work}: exists, expected a new folder", file=sys.stderr)
        return 2
    work = arguments.work or pathlib.Path(tempfile.mkdtemp(prefix="drnas-torture-"))
    work.mkdir(parents=True, exist_ok=True)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # under nohup, but not for the programs
        signal.signal(signal.SIGHUP, lambda *_: None)
    torture = Torture(arguments.programs, work, arguments.seed, arguments.only)
    interrupted = False
    try:
        attack(torture, arguments)
    except KeyboardInterrupt:
        interrupted = True
    print(torture.table(), flush=True)
    for name, _, _ in torture.findings:
        print(f"again: {torture.command(name)}")
    if torture.findings:
        return 1
    shutil.rmtree(work)
    return 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
