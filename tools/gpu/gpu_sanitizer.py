# SPDX-License-Identifier: MIT
"""compute-sanitizer over cuda_tests."""

import os
import re
import shutil
import time

from gpu_programs import TAIL, Failed, Partial, Skipped

# Probes inside vendor libraries are errors of the API to it, and their kernels are not ours to check.
SANITIZER_OPTIONS = ("--error-exitcode", "99", "--report-api-errors", "no", "--kernel-regex", "kns=drnas")
FINDING = re.compile(r"^=+ +(Invalid |Misaligned |(Error|Warning): Race )", re.MULTILINE)
# Containers without the right to debug, drivers or cards that do not fit the tool.
NOT_WORKING = re.compile(r"^=+ .*(Internal Sanitizer Error|No attachable process|not supported).*$", re.MULTILINE)
# Test cases are handed over in so many groups, so that what was reached is known.
SANITIZER_CHUNKS = 12


def sanitizer_command():
    command = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not os.path.exists(command):
        raise Skipped("compute-sanitizer is not installed")
    return command


def count_cases(context, selection):
    tests = context.program("cuda_tests")
    counted = context.must([tests, "--count", "--no-colors=true", selection], 30).output
    found = re.search(r"(\d+)\s*$", counted.strip())
    if not found or int(found.group(1)) == 0:
        raise Failed("cuda_tests does not say how many test cases it has", {"output_tail": counted[-TAIL:]})
    return int(found.group(1))


def sanitizer(context, tool, summary, selection, limit):
    """Test cases in groups, so that a step that time ends says how far it came."""
    command, end = sanitizer_command(), time.monotonic() + limit
    cases = count_cases(context, selection)
    size = -(-cases // SANITIZER_CHUNKS)
    figures = {"cases": cases, "cases_checked": 0, "summaries": []}
    for first in range(1, cases + 1, size):
        last, left = min(first + size - 1, cases), end - time.monotonic()
        words = [context.program("cuda_tests"), selection, f"--first={first}", f"--last={last}"]
        done = context.run([command, "--tool", tool, *SANITIZER_OPTIONS, *words], left) if left >= 3 else None
        output = done.output if done else ""
        broken = NOT_WORKING.search(output)
        if broken and not figures["summaries"]:
            raise Skipped("compute-sanitizer does not work here: " + broken.group(0).strip("= "))
        lines = [line.strip("= ") for line in output.splitlines() if summary in line]
        figures["summaries"] += lines
        dirty = [line for line in lines if not re.search(r"SUMMARY: 0 (errors|hazards)", line)]
        finding = FINDING.search(output)
        cut = done is None or done.over
        if cut and not finding:
            raise Partial(f"{figures['cases_checked']} of {cases} test cases within the time, nothing found", figures)
        if cut or dirty or not lines or done.code != 0:
            why = dirty[-1] if dirty else "cut by time after a finding" if cut else done.problem(left)
            why = f"test cases {first} to {last}: {why or 'no summary in its output'}"
            raise Failed(why, {**figures, "output_tail": output[-TAIL:]})
        figures["cases_checked"] = last
    return {**figures, "headline": f"{cases} test cases, nothing found"}
