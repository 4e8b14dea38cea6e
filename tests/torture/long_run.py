# SPDX-License-Identifier: MIT
"""A run of thousands of steps: memory, descriptors and threads stay flat, files within the sizes that
docs/guide.md states."""

import os
import statistics
import time

import scenarios
import tensors
from harness import Progress

EPOCH_STEPS, BATCH = 100, 2
# Resident memory from the second tenth of a run to its last: 0 to 8 kB were measured, whole pages of the allocator. A
# step that lost 16 bytes would add more than this in 10,000.
MOST_GROWTH = 128 << 10
EDGES = {"nas-bench-201": (6, 5), "darts": (28, 7)}  # rows of concentrations, operations of each
FIXED = 4096
EVIDENCE = ("--trajectory", "20", "--hessian", "every=1,samples=2", "--tensorboard")


def tiny(torture, program, epochs):
    images = EPOCH_STEPS * BATCH * (2 if program == "drnas_search" else 1)
    return [torture.program(program), "--dataset", "synthetic", "--image-size", "8", "--channels", "2", "--cells", "1",
            "--batch-size", str(BATCH), "--limit-train", str(images), "--threads", "1", "--epochs", str(epochs),
            "--tensorboard", "--out", "run"]


def sample(pid):
    """Resident bytes, open descriptors and threads of a process; None where it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as stream:
            fields = dict(line.split(":", 1) for line in stream)
        return int(fields["VmRSS"].split()[0]) << 10, len(os.listdir(f"/proc/{pid}/fd")), int(fields["Threads"])
    except (OSError, KeyError):
        return None


def epochs_in(log):
    return log.read_bytes().count(b"\n") if log.exists() else 0


def follow(trial, started, epochs):
    """Samples of a run, a list for each tenth of its epochs, and the checkpoint's size in them."""
    tenths, sizes = [[] for _ in range(10)], set()
    progress = Progress(trial.torture, f"long run, epochs of {EPOCH_STEPS} steps,", epochs)
    log, checkpoint = trial.folder / "run" / "log.jsonl", trial.folder / "run" / "checkpoint.safetensors"
    while started.running():
        done, state = epochs_in(log), sample(started.pid)
        if state and done < epochs:
            tenths[10 * done // epochs].append(state)
            if checkpoint.exists() and done > 0:
                sizes.add(checkpoint.stat().st_size)
            progress.at(done, f", {state[0] >> 10} kB, {state[1]} descriptors, {state[2]} threads")
        time.sleep(0.02)
    return tenths, sizes


def check_flat(trial, tenths):
    """Files are opened for moments: of descriptors and memory the usual number counts."""
    trial.expect(all(tenths), "too few samples, expected some in each tenth of the run")
    for place, what, most in ((0, "bytes of resident memory", MOST_GROWTH), (1, "descriptors", 0), (2, "threads", 0)):
        first, *_, last = [statistics.median(state[place] for state in tenth) for tenth in tenths[1:]]
        trial.torture.say(f"{trial.name}: {what} {first:.0f} in the second tenth, {last:.0f} in the last")
        trial.expect(last - first <= most, f"{what}: {first:.0f} in the second tenth of the run, {last:.0f} in the last")


def stored_sizes(path):
    """Of a checkpoint or weights file: numbers of weights, statistics and tensors."""
    content = tensors.read(path)[1]
    running = [tensor for name, tensor in content.items() if "running_" in name]
    weights = [tensor for name, tensor in content.items() if name.startswith("weights.")]
    return sum(map(tensors.elements, weights)), sum(map(tensors.elements, running)), len(content)


def limits(folder, steps, edges, operations):
    """The formula of docs/guide.md: most bytes of each file."""
    epochs = epochs_in(folder / "log.jsonl")
    weights, running, count = stored_sizes(folder / "checkpoint.safetensors")
    told = steps // max(1, steps // 50)  # losses of steps among an epoch's events
    return {
        "log.jsonl": epochs * (2000 + 25 * edges * operations),
        "checkpoint.safetensors": 8 * weights + 4 * running + 24 * edges * operations + 160 * count + FIXED,
        "weights.safetensors": 4 * weights + 4 * running + 160 * count + FIXED,
        "tensorboard": epochs * (60 * told + 300 * edges + 2000) + FIXED,
    }


def bytes_of(path):
    return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size


def check_sizes(trial, steps, edges, operations):
    folder = trial.folder / "run"
    for name, most in limits(folder, steps, edges, operations).items():
        path = folder / name
        if name == "weights.safetensors" and not path.exists():
            continue
        size = bytes_of(path)
        trial.torture.say(f"{trial.name}: {name} {size} bytes, at most {most}")
        trial.expect(0 < size <= most, f"{name}: {size} bytes, expected at most {most}")


def sizes(scenario, steps, space):
    """What a run leaves, with all that it can log."""
    def run(trial):
        trial.expect_status(trial.start(scenario.first(trial.torture, EVIDENCE)), 0)
        check_sizes(trial, steps, *EDGES[space])
    return run


def long_run(program, epochs):
    def run(trial):
        started = trial.start(tiny(trial.torture, program, epochs))
        tenths, sizes = follow(trial, started, epochs)
        trial.expect_status(started, 0)
        trial.count("steps", epochs * EPOCH_STEPS)
        check_flat(trial, tenths)
        trial.expect(len(sizes) == 1, f"checkpoint sizes {sorted(sizes)}, expected one")
        check_sizes(trial, EPOCH_STEPS, *(EDGES["nas-bench-201"] if program == "drnas_search" else (0, 0)))
    return run


def run(torture, epochs):
    torture.trials("long runs", [
        ("long/sizes/search", sizes(scenarios.named("search"), 6, "nas-bench-201")),
        ("long/sizes/stages", sizes(scenarios.named("stages"), 10, "nas-bench-201")),
        ("long/sizes/darts", sizes(scenarios.named("darts"), 5, "darts")),
        ("long/search", long_run("drnas_search", epochs)), ("long/training", long_run("drnas_train", epochs))])
