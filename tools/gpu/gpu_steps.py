# SPDX-License-Identifier: MIT
"""The steps of gpu_check.py: each runs programs under a limit and returns its figures."""

import glob
import json
import os
import re
import shutil
import sys
import time

from gpu_model import LABEL, model_of
from gpu_programs import TAIL, Failed, Skipped, run, unpack
from gpu_sanitizer import sanitizer

PARTS = (1, 2, 4, 8)  # K
# Layout and number type of the peer's convolutions.
PEERS = (("published", "default"), ("channels_last", "default"), ("published", "off"))
SANITIZERS = (("memcheck", "ERROR SUMMARY"), ("racecheck", "RACECHECK SUMMARY"))
# Test files of cuda_tests that make plans of cuDNN for hundreds of shapes, which takes most of the time.
VENDOR_FILES = "*/test_cuda_vendor.cpp,*/test_cuda_conv_bundle*.cpp,*/test_cuda_kernel_benchmarks.cpp"
WITHOUT_VENDOR, VENDOR_ONLY = f"--source-file-exclude={VENDOR_FILES}", f"--source-file={VENDOR_FILES}"
# What lanes hold of matrices, which everything on tensor cores stands on.
LANE_ORDER = "--source-file=*/test_cuda_mma.cpp"
# The steps after which there is a first verdict: their limits are 90 s together.
VERDICT = ("lane order", "kernels", "one step", "bench_step K 1")
# The published search of the DARTS space (K 6), and trainings of what it finds.
DARTS = ["--space", "darts", "--channels", "36", "--cells", "20"]
DARTS_STEPS = (("DARTS K 6", DARTS), ("DARTS K 6 fp32", DARTS + ["--precision", "fp32"]))
TRAININGS = (
    ("CIFAR-10", ["--channels", "36", "--layers", "20", "--batch-size", "64"]),
    ("ImageNet", ["--imagenet", "--channels", "48", "--layers", "14", "--batch-size", "128"]),
)
EPOCHS, SHORT_EPOCHS = 100, 2
NO_LIMIT = 6 * 3600.0


class Context:
    """What steps need to know of the run."""

    def __init__(self, options, programs, scratch, root, used_bytes, left, card=None):
        self.options, self.programs, self.scratch, self.root = options, programs, scratch, root
        self.used_bytes, self.left, self.card = used_bytes, left, card

    def program(self, name):
        return self.programs.paths[name]

    def file(self, name):
        return os.path.join(self.scratch, name)

    def run(self, command, limit, more=None, watch=None):
        environment = {"OMP_WAIT_POLICY": "passive", **self.programs.environment, **(more or {})}
        return run(command, limit, environment, self.scratch, watch)

    def must(self, command, limit, more=None):
        """Runs a command that has to end well."""
        done = self.run(command, limit, more)
        problem = done.problem(limit)
        if problem:
            raise Failed(problem, {"output_tail": done.output[-TAIL:]})
        return done

    def run_json(self, command, limit, more=None):
        """Runs a program with --json FILE and returns what it wrote there."""
        path = self.file("report.json")
        if os.path.exists(path):
            os.remove(path)
        self.must(command + ["--json", path], limit, more)
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)

    def carried(self, *parts):
        """Paths in the pack that match."""
        return sorted(glob.glob(os.path.join(self.options.pack, *parts)))

    def table(self):
        """The accuracy table, if there is one."""
        named = os.environ.get("DRNAS_NB201_TABLE")
        found = ([named] if named else []) + self.carried("data", "nas_bench_201.csv")
        return os.path.abspath(found[0]) if found else None


# Tests


def doctest(context, name, limit, more=None, words=()):
    done = context.run([context.program(name), "--no-colors=true", *words], limit, more)
    found = re.search(r"test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed", done.output)
    figures = {}
    if found:
        figures = dict(zip(("cases", "passed", "failed"), (int(value) for value in found.groups())))
        figures["headline"] = f"{figures['passed']} of {figures['cases']} test cases"
    failed = sorted(set(re.findall(r"^TEST CASE:\s*(.+)$", done.output, re.MULTILINE)))
    if done.code == 77:
        raise Failed("the program finds no GPU where nvidia-smi does", figures)
    problem = done.problem(limit) or ("" if found and figures["cases"] > 0 else "no summary in its output")
    if problem:
        if failed:
            problem = f"{len(failed)} test cases failed: {', '.join(failed)}"
        raise Failed(problem, {**figures, "failed_cases": failed, "output_tail": done.output[-TAIL:]})
    return figures


def cuda_tests(context, selection, limit):
    return doctest(context, "cuda_tests", limit, words=[selection])


def cpu_tests(context, limit):
    if not os.path.exists(context.programs.paths.get("drnas_tests", "")):
        raise Skipped("drnas_tests is not carried")
    table = context.table()
    return doctest(context, "drnas_tests", limit, {"DRNAS_NB201_TABLE": table} if table else None)


def golden_files(context):
    folders = [os.environ.get("DRNAS_GOLDEN_DIR"), os.path.join(context.root, "tests", "references")]
    folders.append(os.path.join(context.options.pack, "golden"))
    files = {}
    for folder in folders:
        for pattern in ("nb201_*.safetensors", "darts_*.safetensors", "beta_*.csv"):
            for path in sorted(glob.glob(os.path.join(folder, pattern))) if folder else []:
                files.setdefault(os.path.basename(path), os.path.abspath(path))
    return files


# Largest relative error of any group of tensors. Rounded inputs or activations leave gradients one digit
# or less where batch norm subtracts what is common to all pixels, so the last two only catch gross faults.
TOLERANCES = {"fp32": "1e-3", "tf32": "0.3", "bf16": "1.0"}


def one_step(context, limit):
    """The smallest reference: a step of a network as PyTorch does it."""
    sizes = {name: os.path.getsize(path) for name, path in golden_files(context).items() if name.startswith("nb201")}
    return parity(context, "fp32", limit, sorted(sizes, key=sizes.get)[:1])


def parity(context, precision, limit, names=None):
    files = {name: path for name, path in golden_files(context).items() if names is None or name in names}
    if not files:
        raise Failed("no reference files found")
    end = time.monotonic() + limit
    figures, failed = {}, []
    for name, path in files.items():
        left = max(end - time.monotonic(), 0.1)
        done = context.run([context.program("parity"), path, "--device", "cuda",
                            "--precision", precision, "--tolerance", TOLERANCES[precision]], left)
        found = re.search(r"^\s*largest\s+(\S+)\s+.*tolerance (\S+)\)", done.output, re.MULTILINE)
        largest = float(found.group(1)) if found else None
        figures[name] = {"largest_error": largest, "tolerance": float(found.group(2)) if found else None}
        problem = done.problem(left)
        if problem or not found:
            failed.append(name)
            figures[name].update(problem=problem or "no errors printed", output_tail=done.output[-TAIL:])
    if failed:
        raise Failed(f"{len(failed)} of {len(files)} files: {', '.join(failed)}", {"files": figures})
    worst = max(entry["largest_error"] for name, entry in figures.items())
    return {"headline": f"{len(files)} files, largest error {worst:.1e}", "files": figures}


# Measurements


def device(context, limit):
    figures = context.run_json([context.program("bench_device")], limit)
    figures["headline"] = (
        f"copies {figures['copy']['best_gb_per_s']:.0f} GB/s, float32 {figures['matrix']['tflops_fp32']:.1f} TFLOP/s, "
        f"launch {figures['launch']['microseconds_per_node']:.2f} us"
    )
    return figures


def row(program, k, figures, launches, process):
    return {
        "program": program,
        "k": k,
        "architecture_ms": figures["architecture_step_ms"]["median"],
        "weight_ms": figures["weight_step_ms"]["median"],
        "launches": launches,
        "process_mib": None if process is None else round(process / 2**20),
    }


def process_bytes(used_at_end, before):
    """What the process takes of the card: context, code, pool and vendor workspace."""
    return None if before is None else max(used_at_end - before, 0)


def step_times(context, k, more, limit):
    before = context.used_bytes()
    command = [context.program("bench_step"), "--device", "cuda", "--partial-channels", str(k), "--steps", "30"]
    figures = context.run_json(command + more, limit)
    process = process_bytes(figures["card_bytes"]["used_at_end"], before)
    launches = "{architecture} + {weight}".format(**figures["launches"])
    name = "drnas" + "".join(" " + word.strip("-") for word in more)
    headline = f"{figures['architecture_step_ms']['median']:.2f} + {figures['weight_step_ms']['median']:.2f} ms"
    model = step_model(context, more, figures)
    if model:
        headline += f" ({LABEL}: {model['architecture_ms']:.2f} + {model['weight_ms']:.2f} ms)"
    return {
        "headline": headline,
        "row": row(name, k, figures, launches, process),
        **({"model": model} if model else {}),
        "process_device_bytes": process,
        "bench_step": figures,
    }


def step_model(context, more, figures):
    """What bench/gpu_model recorded of these steps for this card; it counts recorded steps that store raw outputs."""
    if "--no-graph" in more or figures["raw_outputs"] != "store":
        return None
    return model_of(os.path.join(context.root, "bench", "results"), context.card["name"], figures)


def training_times(context, more, limit):
    """The training step of a derived network."""
    figures = context.run_json([context.program("bench_train"), "--device", "cuda", "--steps", "20"] + more, limit)
    launches = figures["launches"]
    return {
        "headline": f"{figures['training_step_ms']['median']:.2f} ms a step, {launches} launches",
        "bench_train": figures,
    }


def torch_python(context):
    """An interpreter whose PyTorch sees the card; found once."""
    if hasattr(context, "python"):
        return context.python
    context.python = None
    code = "import numpy, torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)"
    named = context.options.python
    for name in [named] if named else ["python3", "/usr/bin/python3", sys.executable]:
        python = shutil.which(name)
        if python and run([python, "-c", code], 40).code == 0:
            context.python = python
            break
    return context.python


def peer(context, k, layout, tf32, limit):
    python = torch_python(context)
    if not python:
        raise Skipped("no PyTorch that sees the card")
    script = os.path.join(context.root, "bench", "peers", "torch_supernet.py")
    command = [python, script, "--device", "cuda", "--steps", "10", "--partial-channels", str(k)]
    before = context.used_bytes()
    # Its own libraries, not those that our programs need.
    libraries = {"LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
    figures = context.run_json(command + ["--layout", layout, "--tf32", tf32], limit, libraries)
    process = process_bytes(figures["card_used_at_end_bytes"], before)
    numbers = "TF32" if figures["tf32_convolutions"] else "float32"
    name = f"PyTorch {figures['torch']} {layout} {numbers}"
    return {"row": row(name, k, figures, None, process), "process_device_bytes": process, "torch_supernet": figures}


def cifar10_folder(context, limit):
    """CIFAR-10 as a folder, unpacked from an archive where need be."""
    folder = os.environ.get("DRNAS_CIFAR10_DIR")
    if folder:
        return os.path.abspath(folder)
    named = os.environ.get("DRNAS_CIFAR10_ARCHIVE")
    archives = ([named] if named else []) + context.carried("data", "cifar10*.tar*")
    if not archives:
        raise Skipped("no CIFAR-10: name it by DRNAS_CIFAR10_DIR or DRNAS_CIFAR10_ARCHIVE")
    folder = context.file("cifar10")
    unpack(os.path.abspath(archives[0]), folder, limit)
    inside = os.listdir(folder)
    return os.path.join(folder, inside[0]) if len(inside) == 1 else folder


def epoch_records(out):
    with open(os.path.join(out, "log.jsonl"), encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def evidence(context, limit):
    """Trajectories and Hessians change nothing of a search; what they take of an epoch."""
    command = [context.program("drnas_search"), "--device", "cuda", "--dataset", "synthetic", "--epochs", "3"]
    logs = []
    for name, more in (("plain", []), ("with-evidence", ["--trajectory", "100", "--hessian", "every=1"])):
        context.must(command + ["--out", context.file(name)] + more, limit / 2)
        logs.append(epoch_records(context.file(name)))
    changed = [key for key in ("train_loss", "val_loss", "concentrations", "genotype")
               if [e[key] for e in logs[0]] != [e[key] for e in logs[1]]]
    seconds = logs[1][-1]["seconds"]
    share = 100 * (seconds["trajectory"] + seconds["hessian"]) / sum(seconds.values())
    figures = {"seconds": seconds, "hessian": logs[1][-1]["hessian"]}
    if changed:
        raise Failed("other than without evidence: " + ", ".join(changed), figures)
    return {**figures, "headline": f"nothing changed; Hessian {seconds['hessian']:.2f} s, {share:.1f} % of an epoch"}


def search(context, limit):
    begin = time.monotonic()
    data = cifar10_folder(context, limit)
    unpacked = time.monotonic() - begin
    epochs = EPOCHS if context.options.full else SHORT_EPOCHS
    out = context.file("search")
    command = [context.program("drnas_search"), "--device", "cuda", "--dataset", "cifar10", "--data", data]
    command += ["--epochs", str(epochs), "--out", out] + (["--nb201-table", context.table()] if context.table() else [])
    log = os.path.join(out, "log.jsonl")
    ends, start = [], time.monotonic()

    def watch():
        try:
            with open(log, "rb") as stream:
                lines = stream.read().count(b"\n")
        except OSError:
            return
        while len(ends) < lines:
            ends.append(time.monotonic() - start)

    done = context.run(command, limit - unpacked, None, watch)
    watch()
    problem = done.problem(limit - unpacked)
    if problem or len(ends) < epochs:
        why = problem or f"{len(ends)} epochs in the log, expected {epochs}"
        raise Failed(why, {"output_tail": done.output[-TAIL:]})
    records = epoch_records(out)
    later = (ends[-1] - ends[0]) / (epochs - 1)
    total = done.seconds if epochs == EPOCHS else ends[0] + (EPOCHS - 1) * later
    kind = "measured" if epochs == EPOCHS else "EXTRAPOLATED"
    return {
        "headline": f"{later:.1f} s an epoch, {EPOCHS} epochs {total / 60:.1f} min ({kind})",
        "epochs_run": epochs,
        "unpack_seconds": unpacked,
        "start_and_first_epoch_seconds": ends[0],
        "later_epoch_seconds": later,
        "total_100_epochs_seconds": total,
        "total_is_extrapolated": epochs != EPOCHS,
        "last_epoch": records[-1],
    }


def steps(context):
    """Name, limit in seconds, whether it must be reached, and body(limit), in order."""
    full = context.options.full

    def bound(function, *arguments):
        return lambda limit: function(context, *arguments, limit)

    found = [
        ("lane order", 10, True, bound(cuda_tests, LANE_ORDER)),
        ("kernels", 35, True, bound(cuda_tests, WITHOUT_VENDOR)),
        ("one step", 15, True, bound(one_step)),
        ("bench_step K 1", 30, True, bound(step_times, 1, [])),
        ("vendor calls", 120, True, bound(cuda_tests, VENDOR_ONLY)),
        ("drnas_tests", 90, True, bound(cpu_tests)),
        ("parity", 90, True, bound(parity, "fp32")),
        ("parity tf32", 60, True, bound(parity, "tf32")),
        ("parity bf16", 60, True, bound(parity, "bf16")),
        ("bench_device", 60, False, bound(device)),
    ]
    found += [(f"bench_step K {k}", 40, False, bound(step_times, k, [])) for k in PARTS[1:]]
    found.append(("bench_step K 1 no-graph", 40, False, bound(step_times, 1, ["--no-graph"])))
    for precision in ("tf32", "fp32"):
        found.append((f"bench_step K 1 {precision}", 40, False, bound(step_times, 1, ["--precision", precision])))
    found.append(("bench_step K 1 rebuild", 40, False, bound(step_times, 1, ["--raw-outputs", "rebuild"])))
    for name, more in DARTS_STEPS:
        found.append((f"bench_step {name}", 40, False, bound(step_times, 6, more)))
    for name, more in TRAININGS:
        found.append((f"bench_train {name}", 40, False, bound(training_times, more)))
    found.append(("evidence", 60, True, bound(evidence)))
    found.append(("CIFAR-10 search", NO_LIMIT if full else 180, False, bound(search)))
    for tool, summary in SANITIZERS:
        found.append((tool, NO_LIMIT if full else 100, False, bound(sanitizer, tool, summary, WITHOUT_VENDOR)))
    tool, summary = SANITIZERS[0]
    body = bound(sanitizer, tool, summary, VENDOR_ONLY)
    found.append((f"{tool} vendor calls", NO_LIMIT if full else 60, False, body))
    for layout, tf32 in PEERS:
        numbers = "" if tf32 == "default" else " float32"
        for k in PARTS:
            found.append((f"PyTorch {layout}{numbers} K {k}", 40, False, bound(peer, k, layout, tf32)))
    return found
