#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes bench/results/README.md from the recorded files beside it: what was measured, by which command, on which
machine, at which commit and when.

    bench/results_page.py [FOLDER] [--check]
--check writes nothing and fails where the page is not what the files give. A new shape of file needs a row in KINDS."""
import argparse
import collections
import dataclasses
import json
import pathlib
import re
import statistics
import sys

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
PAGE = "README.md"
MISSING = "not recorded"
MEBI = 2**20
GROUPS = ("Step times", "Memory", "Searches and trainings", "Kernels", "Registers", "Images")
STEPS, MEMORY, SEARCHES, KERNELS, REGISTERS, IMAGES = GROUPS


class PageError(Exception):
    """What is wrong, in one line."""


@dataclasses.dataclass
class Part:
    """A table of one group, from one file."""
    group: str
    title: str
    columns: list
    rows: list
    note: str = ""


def number(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    if isinstance(value, dict):
        if value.get("mean") is not None and set(value) <= {"mean", "deviation"}:
            return " ± ".join(f"{entry:.2f}" for entry in value.values() if entry is not None)
        return ", ".join(f"{key} {number(entry)}" for key, entry in value.items() if entry is not None)
    if isinstance(value, list):
        return ", ".join(number(entry) for entry in value)
    return str(value)


def mebibytes(value):
    return "" if value is None else f"{value / MEBI:.1f}"


def table(columns, rows):
    def line(cells):
        return "| " + " | ".join(number(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(columns), "|" + "---|" * len(columns), *map(line, rows)])


# Who measured what, when.

def machine_text(machine):
    if not isinstance(machine, dict):
        return number(machine)
    words = {"cores": "{} cores", "threads": "{} threads", "compute_capability": "compute capability {}",
             "driver": "driver {}"}
    named = ("processor", "cpu", "gpu", "name")
    parts = [str(machine[key]) for key in named if machine.get(key)]
    return ", ".join(parts + [text.format(machine[key]) for key, text in words.items() if machine.get(key)])


def recorded(record, *keys):
    """The first key that the record has, or its `program`, else what its runs say."""
    program = record.get("program")
    for key in keys:
        for place in (record, program if isinstance(program, dict) else {}):
            if place.get(key):
                return [place[key]]
    runs = record.get("runs")
    found = [run[key] for run in runs if isinstance(run, dict) for key in keys if run.get(key)] if isinstance(
        runs, list) else []
    return list({json.dumps(value, sort_keys=True): value for value in found}.values())


def origin(record):
    """Command, machine, commit and date as cells."""
    commands = [f"`{command if isinstance(command, str) else ' '.join(command)}`" for command in
                recorded(record, "command")]
    machines = [machine_text(machine) for machine in recorded(record, "machine", "card")]
    commits = [str(c)[:12] if re.fullmatch(r"[0-9a-f]{13,}", str(c)) else str(c)
               for c in recorded(record, "git_commit", "commit")]
    dates = [str(date)[:10] for date in recorded(record, "date", "started")]
    cells = ["; ".join(values) or MISSING for values in (commands, machines, commits, dates)]
    if record.get("recorded_in"):
        cells[2] += f" (recorded in commit {record['recorded_in']})"
    return cells


# Readers: a record in, its parts out.

def step_columns(figures):
    return [key for key in ("architecture_step_ms", "weight_step_ms", "training_step_ms") if key in figures]


def network_text(figures):
    """What was measured: space or genotype, size, K."""
    cells = figures.get("cells", figures.get("layers"))
    size = [f"C {figures['channels']}", f"N {cells}" if figures.get("space") == "nas-bench-201" else f"{cells} cells",
            f"batch {figures['batch_size']}"]
    if "partial_channels" in figures:
        size.append(f"K {figures['partial_channels']}")
    return ", ".join([figures.get("genotype") or figures["space"], *size])


def step_time(figures, key):
    times = figures.get(key)
    return f"{times['median']:.1f} ({times['min']:.1f} to {times['max']:.1f})" if times else ""


def process_above_start(figures):
    return figures["process_peak_bytes"] - figures["process_start_bytes"]


def program_text(figures):
    return f"PyTorch {figures['torch']}, {figures['layout']}" if "torch" in figures else "drnas"


def compared(entries, title):
    """Steps and memory of programs on the same networks; an entry is a list of figures, ours first."""
    keys = [key for key in ("architecture_step_ms", "weight_step_ms", "training_step_ms")
            if any(key in figures for entry in entries for figures in entry)]
    times, memory = [], []
    for ours, *peers in entries:
        for figures in (ours, *peers):
            both = [sum(f[key]["median"] for key in step_columns(ours)) for f in (figures, ours)]
            start = [network_text(ours), program_text(figures)]
            times.append([*start, *(step_time(figures, key) for key in keys), f"{both[0] / both[1]:.2f}"])
            tensors = figures.get("peak_bytes", {}).get("total")
            memory.append([*start, mebibytes(process_above_start(figures)), mebibytes(tensors),
                           f"{process_above_start(figures) / process_above_start(ours):.2f}"])
    names = [key.replace("_step_ms", " step, ms") for key in keys]
    return [Part(STEPS, title, ["network", "program", *names, "times drnas"], times,
                 "Median (least to largest) of the timed steps."),
            Part(MEMORY, title, ["network", "program", "process above its start, MiB", "tensors, MiB", "times drnas"],
                 memory)]


def read_peers(record):
    entries = [[result["ours"], *result["peers"]] for result in record["results"]]
    space = record.get("space") or entries[0][0]["space"]
    return compared(entries, f"Steps beside PyTorch, {'DARTS space' if space == 'darts' else 'NAS-Bench-201'}")


def read_step(record):
    return compared([[record]], "Steps of one network")


def read_step_modes(record):
    times, memory = [], []
    for mode, rounds in record["runs"].items():
        keys = step_columns(rounds[0])
        times.append([mode, len(rounds)] + [
            f"{min(r[key]['min'] for r in rounds):.0f} / {statistics.median(r[key]['median'] for r in rounds):.0f}"
            for key in keys])
        memory.append([mode, mebibytes(max(r["peak_bytes"] for r in rounds)),
                       mebibytes(max(r["process_bytes"] for r in rounds))])
    names = [key.replace("_step_ms", " step, ms") for key in keys]
    return [Part(STEPS, "Steps under several modes of raw outputs", ["raw outputs", "rounds", *names], times,
                 "Best step / median of the rounds' medians."),
            Part(MEMORY, "Memory under several modes of raw outputs", ["raw outputs", "tensors, MiB", "process, MiB"],
                 memory)]


def found_text(record):
    """Found cells beside random ones."""
    if "cifar10_found" not in record:
        return ""
    found = dict(record["cifar10_found"])
    share = found.pop("random_cells_at_least_as_good")
    return (f"CIFAR-10 accuracy in the NAS-Bench-201 table: found {number(found)}; random cells "
            f"{number(record['cifar10_random_cells'])}; {100 * share:.2f} % of them are at least as good as the mean.")


def share(seconds, part):
    """Of the whole, in percent."""
    return 100 * seconds[part] / sum(seconds.values()) if part in seconds else None


def evidence_row(run, epoch, accuracy):
    trajectory, hessian = epoch.get("trajectory", {}), epoch.get("hessian", {})
    sampled = trajectory.get("cifar10", {})
    bound, expected = hessian.get("bound", {}), hessian.get("expectation", {})
    theta, mu = hessian.get("theta", {}), hessian.get("mu", {})
    return [run, epoch["epoch"], *(sampled.get(key) for key in ("min", "q1", "median", "q3", "max")), accuracy,
            trajectory.get("distinct"), epoch.get("mean_entropy"), theta.get("eigenvalue"), mu.get("eigenvalue"), mu.get("norm"), mu.get("trace"),
            bound.get("loss"), bound.get("trace_term"), expected.get("mean"),
            share(epoch.get("seconds", {}), "hessian"), number(epoch.get("warnings"))]


def evidence_parts(record):
    rows = []
    for run in record["runs"]:
        accuracies = run.get("cifar10_by_epoch", [])
        for at, epoch in enumerate(run.get("evidence", [])):
            rows.append(evidence_row(run["run"], epoch, accuracies[at] if at < len(accuracies) else None))
    columns = ["run", "epoch", "least", "lower quartile", "median", "upper quartile", "largest", "mean cell",
               "distinct", "entropy", "eigenvalue θ", "eigenvalue μ", "norm μ", "trace μ", "loss at the mean", "trace term",
               "sampled expectation", "Hessian's share of the time, %", "warnings"]
    note = ("Sampled cells' CIFAR-10 accuracy in the NAS-Bench-201 table, %; Hessian of the validation loss on a fixed "
            "batch; both terms of Proposition 1's bound. Entropy: of the mean weights, mean of the edges, nats.")
    return [Part(SEARCHES, "Trajectories and Hessians", columns, rows, note)] if rows else []


def read_search(record):
    rows, memory = [], []
    for run in record["runs"]:
        accuracies = run.get("table", {})
        rows.append([run["run"], run["epochs"], run.get("val_top1"), run.get("test_top1"),
                     *(accuracies.get(name) for name in ("cifar10", "cifar100", "imagenet16_120")),
                     f"`{run['genotype']}`"])
        peaks = run["peak_bytes"] if isinstance(run["peak_bytes"], dict) else {"": run["peak_bytes"]}
        memory += [[run["run"], stage, mebibytes(peak)] for stage, peak in peaks.items()]
    columns = ["run", "epochs", "validation top-1, %", "test top-1, %", "CIFAR-10 in the table, %",
               "CIFAR-100 in the table, %", "ImageNet-16-120 in the table, %", "genotype"]
    note = " ".join(filter(None, (record.get("note", "") and record["note"] + ".", found_text(record))))
    return [Part(SEARCHES, "Runs of drnas_search and drnas_train", columns, rows, note),
            *evidence_parts(record),
            Part(MEMORY, "Tensors of searches and trainings", ["run", "stage", "peak, MiB"], memory)]


def read_sweep(record):
    """The rows as the record has them, but bytes in MiB."""
    rows = [row for row in record["rows"] if isinstance(row, dict)]
    columns = record.get("columns") or list(dict.fromkeys(key for row in rows for key in row))
    cells = [[row.get(column) for column in columns] if isinstance(row, dict) else list(row) for row in record["rows"]]
    for at, column in enumerate(columns):
        if column.endswith("_bytes"):
            for row in cells:
                row[at] = mebibytes(row[at])
    titles = [column.removesuffix("_bytes") + ", MiB" if column.endswith("_bytes") else column for column in columns]
    note = "; ".join(filter(None, (record.get("note"), record.get("accuracy"))))
    return [Part(SEARCHES, record["title"], titles, cells, note)]


def read_gpu_check(record):
    steps = record["steps"]
    rows = [entry["row"] for entry in steps.values() if "row" in entry]
    parts = [
        Part(STEPS, "Checks and steps on a GPU", ["check", "result", "figures"],
             [[name, entry["status"], entry.get("why") or entry.get("headline")] for name, entry in steps.items()],
             "" if record.get("finished") else "The checks did not come to their end."),
        Part(STEPS, "Steps on a GPU beside PyTorch", ["program", "K", "architecture step, ms", "weight step, ms",
                                                     "launches"],
             [[r["program"], r["k"], r["architecture_ms"], r["weight_ms"], r["launches"]] for r in rows]),
        Part(MEMORY, "What a process takes of a GPU", ["program", "K", "MiB"],
             [[r["program"], r["k"], r["process_mib"]] for r in rows]),
        Part(KERNELS, "Kernel families on a GPU", ["family", "direction", "channels", "side", "K", "ms", "GB/s",
                                                   "share of copy bandwidth"],
             [[k[key] for key in ("family", "direction", "channels", "size", "partial_channels", "milliseconds",
                                  "gb_per_s", "share_of_copy_bandwidth")]
              for k in steps.get("bench_device", {}).get("kernels", [])]),
    ]
    return [part for part in parts if part.rows]


def read_registers(record):
    architectures = collections.defaultdict(list)
    for file, architecture, kernels, registers, stack, spilled in record["lines"]:
        architectures[architecture].append((int(registers), file, int(kernels), int(stack), int(spilled)))
    rows = [[name, len(files), sum(f[2] for f in files), max(files)[0], f"`{max(files)[1]}`", sum(f[3] for f in files),
             sum(f[4] for f in files)] for name, files in architectures.items()]
    return [Part(REGISTERS, "Registers and spills of every CUDA kernel, as the compiler reports them",
                 ["architecture", "files", "kernels", "most registers", "in", "bytes of stack", "bytes spilled"], rows)]


def read_gpu_model(record):
    """Totals of both steps, and the kernels that the model gives most of the time."""
    def ratio(values, unit):
        return values["least"] / values[unit] if values[unit] else 1

    rows, kernels = [], []
    for name, step in record["steps"].items():
        needed, used = step["sector_efficiency"], step["bytes_used_of_sectors"]
        rows.append([name, step["launches"], step["vendor_calls"], needed["read"], needed["write"], used["read"],
                     used["write"], step["shared_conflict"]["read"], step["shared_conflict"]["write"],
                     step["model_ms"]["total"]])
        order = sorted(step["kernels"].items(), key=lambda item: -item[1]["model_ms"]["total"])
        for kernel, figures in [item for item in order if "read" in item[1]][:5]:
            kernels.append([name, f"`{kernel}`", figures["launches"], ratio(figures["read"], "sectors"),
                            ratio(figures["write"], "sectors"), figures["model_ms"]["total"]])
    title = (f"{record['space']}, C {record['channels']}, {record['cells']} cells, K {record['partial_channels']}, "
             f"batch {record['batch_size']}, {record['precision']}: traffic of the kernels, a model of {record['card']}")
    return [Part(STEPS, title, ["step", "launches", "vendors' calls", "sectors needed / read", "needed / written",
                                "bytes used / read", "used / written", "wavefronts / least, loads", "stores",
                                "model, ms"], rows, record["what"]),
            Part(KERNELS, title, ["step", "kernel", "launches", "sectors needed / read", "needed / written", "model, ms"],
                 kernels, "The five kernels of each step that the model gives most of the time.")]


def read_images(record):
    def rate(figures):
        return f"{figures['median']:.0f} ({figures['min']:.0f} to {figures['max']:.0f})" if figures else ""

    rows = [[f"{r['format']}, {r['width']} x {r['height']}", r["file_bytes"], rate(r["drnas"]), rate(r.get("stb_image")),
             r.get("largest_difference")] for r in record["images"]]
    note = f"Median of {record['rounds']} rounds in turn, least and most; one thread, seconds of processor time."
    return [Part(IMAGES, "Images decoded a second", ["format", "bytes of the first", "drnas", "stb_image",
                                                     "largest difference of a pixel, of 255"], rows, note)]


@dataclasses.dataclass
class Kind:
    matches: collections.abc.Callable
    read: collections.abc.Callable


KINDS = (
    Kind(lambda r: str(r.get("what", "")).startswith("model, not a measurement"), read_gpu_model),
    Kind(lambda r: r.get("kind") == "sweep" or {"title", "rows", "runs"} <= set(r), read_sweep),
    Kind(lambda r: "lines" in r, read_registers),
    Kind(lambda r: "images" in r, read_images),
    Kind(lambda r: "card" in r and "steps" in r, read_gpu_check),
    Kind(lambda r: "results" in r and "torch" in r, read_peers),
    Kind(lambda r: bool(step_columns(r)), read_step),
    Kind(lambda r: isinstance(r.get("runs"), dict), read_step_modes),
    Kind(lambda r: isinstance(r.get("runs"), list) and "genotype" in r["runs"][0], read_search),
)


def load(file):
    """A JSON object, or the lines of tools/gpu/cuda_report.sh with `# key: value` lines in front."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        return json.loads(text)
    record = dict(re.findall(r"^# (\w+): (.*)$", text, re.MULTILINE))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pattern = r"(\S+) (sm_\d+): (\d+) kernels, at most (\d+) registers, (\d+) bytes of stack, (\d+) bytes spilled"
    record["lines"] = [re.fullmatch(pattern, line).groups() for line in lines]
    return record


def read_file(file):
    try:
        record = load(file)
        for kind in KINDS:
            if kind.matches(record):
                return record, kind.read(record)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as failure:
        raise PageError(f"{file.name}: not as its kind writes it: {type(failure).__name__}: {failure}") from failure
    raise PageError(f"{file.name}: of no known kind, expected one of bench/results_page.py's KINDS")


def page(folder):
    text = ["# Recorded results", "`bench/results_page.py` writes this page from the files of this folder. Each table "
            "says by which command, on which machine, at which commit and when it was measured, as far as the file "
            "recorded it. What the figures mean, and what should be reached: [bench/README.md](../README.md)."]
    parts = [(file.name, origin(record), part)
             for file in sorted(folder.iterdir()) if file.name != PAGE and not file.name.startswith(".")
             for record, found in [read_file(file)] for part in found]
    for group in GROUPS:
        text.append(f"## {group}")
        of_group = [entry for entry in parts if entry[2].group == group]
        if not of_group:
            text.append("Nothing recorded.")
        for name, cells, part in of_group:
            text += [f"### {part.title} ([{name}]({name}))", table(["command", "machine", "commit", "date"], [cells])]
            text += [part.note] if part.note else []
            text.append(table(part.columns, part.rows))
    return "\n\n".join(text) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--check", action="store_true", help="fail where the page differs, write nothing")
    arguments = parser.parse_args()
    file = arguments.folder / PAGE
    text = page(arguments.folder)
    if not arguments.check:
        file.write_text(text, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != text:
        raise PageError(f"{file.name} is not what the files of {arguments.folder.name} give: run bench/results_page.py")


if __name__ == "__main__":
    try:
        main()
    except (PageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
