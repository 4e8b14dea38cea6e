# SPDX-License-Identifier: MIT
"""Extremes of options, data, batches, threads and memory: a program ends with a result or with one line of error.

extremes_test.py FOLDER_OF_PROGRAMS [--all] [--sanitized] [CLASS[.TEST]...]; --all: longer tables of the same."""

import pathlib
import sys
import unittest

import programs
import runs
from memory_limits import MemoryLimits  # noqa: F401
from option_values import OptionValues  # noqa: F401
from runs import Runs  # noqa: F401


def main(arguments):
    programs.SANITIZED = "--sanitized" in arguments
    runs.ALL = "--all" in arguments
    rest = [word for word in arguments if word not in ("--all", "--sanitized")]
    programs.FOLDER = pathlib.Path(rest.pop(1)).resolve()
    unittest.main(argv=rest)


if __name__ == "__main__":
    main(sys.argv)
