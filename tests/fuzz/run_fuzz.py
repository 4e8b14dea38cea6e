#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets of a build with libFuzzer (make fuzz) for a time that they share equally. Inputs that
reach new code are kept in BUILD/corpus, inputs that show a finding in BUILD/findings. Exit code 1 where there is one."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent
SECONDS_PER_INPUT, MEBIBYTES = 10, 2048  # more of either is a finding


def fail(message):
    sys.exit(f"error: {message}")


def targets(build, names):
    """Name and program of each target."""
    known = {p.stem.removeprefix("target_"): build / "tests/fuzz" / p.stem.replace("target_", "fuzz_")
             for p in sorted(ROOT.glob("target_*.cpp"))}
    for name in names:
        if name not in known:
            fail(f"{name}: no target, expected one of {', '.join(known)}")
    for name, program in known.items():
        if not program.is_file():
            fail(f"{program}: not built, expected the target {name} there (make fuzz)")
    return {name: known[name] for name in names or known}


def command(program, name, build, seconds):
    """Of libFuzzer; creates the folders that it writes into."""
    found, findings = build / "corpus" / name, build / "findings"
    for folder in (found, findings):
        folder.mkdir(parents=True, exist_ok=True)
    return [str(program), str(found), str(ROOT / "corpus" / name), f"-max_total_time={max(1, round(seconds))}",
            f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEBIBYTES}", f"-malloc_limit_mb={MEBIBYTES}",
            "-print_final_stats=1", f"-artifact_prefix={findings}/{name}-"]


def run(program, name, build, seconds):
    """Executions, seconds, and of a finding its input and first words."""
    log = build / "findings" / f"{name}.log"
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        environment = dict(os.environ, TMPDIR=folder, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive",
                           UBSAN_OPTIONS="print_stacktrace=1")
        arguments = command(program, name, build, seconds)
        start = time.monotonic()
        with open(log, "wb") as out:
            code = subprocess.run(arguments, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False).returncode
    text = log.read_text(errors="replace")
    executed = re.search(r"number_of_executed_units: (\d+)", text)
    finding = None
    if code != 0:
        path = re.search(r"Test unit written to (\S+)", text)
        what = re.search(r"(what\(\):.*|SUMMARY:.*|ERROR: .*|.*runtime error:.*)", text)
        finding = f"{path.group(1) if path else log}: {what.group(1) if what else f'exit code {code}'}"
    return int(executed.group(1)) if executed else 0, time.monotonic() - start, finding


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build-fuzz"), help="folder of the build")
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--jobs", type=int, default=2, help="targets that run at the same time")
    parser.add_argument("targets", nargs="*", help="default: all")
    options = parser.parse_args()
    if options.seconds <= 0 or options.jobs < 1:
        fail("expected --seconds above 0 and --jobs of at least 1")
    chosen = targets(options.build.resolve(), options.targets)
    share = options.seconds * min(options.jobs, len(chosen)) / len(chosen)
    findings = executions = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = {name: pool.submit(run, program, name, options.build.resolve(), share) for name, program in chosen.items()}
        for name, future in runs.items():
            count, seconds, finding = future.result()
            executions += count
            findings += finding is not None
            print(f"{name:<20}{count:>12} executions {seconds:>7.0f} s  {finding or 'no finding'}", flush=True)
    print(f"{len(chosen)} targets, {executions} executions, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
