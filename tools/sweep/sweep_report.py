# SPDX-License-Identifier: MIT
"""The table of a sweep and its record as JSON, from what the runs' logs hold so far."""

import datetime
import json
import math
import os
import platform

from gpu_check import query_card
from gpu_programs import CheckError
from sweep_folder import Run
from sweep_runner import cores, duration, program_text

ACCURACIES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16_120": "ImageNet-16-120"}
TITLES = {**ACCURACIES, "peak": "peak MiB", "time": "time"}
PLACES = ("data", "cache", "nb201-table", "train-list", "alpha-list")  # of the machine, not of the sweep
HEADER = ("test accuracy in the NAS-Bench-201 table: mean ± sample standard deviation (n-1) over n seeds, none for "
          "one; peak: allocator's, largest of the seeds; time: mean of the seeds")


def run_result(run: Run):
    """What a finished run gave, else None. After --stop-on the cell is that of the last good epoch."""
    log = run.log()
    if not run.ended(log):
        return None
    last = log[-1]
    good = log[last["good_epoch"] - 1] if "stopped_on" in last else last
    found = run.selection() or good
    result = {"row": run.row.name, "seed": run.seed, "genotype": found["genotype"], "epochs": last["epoch"],
              "program": run.program(),
              "peak_bytes": last["peak_bytes"]["total"],
              "seconds": round(sum(sum(epoch["seconds"].values()) for epoch in log), 3), **found.get("table", {})}
    return {**result, "stopped_on": last["stopped_on"]} if "stopped_on" in last else result


def spread(values):
    """Mean and sample standard deviation, None where there is one value."""
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return {"mean": mean, "deviation": math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None}


def aggregate(definition, results):
    """A record for each row, over those of its seeds that have a result."""
    rows = []
    for row in definition.rows:
        mine = [result for result in results if result["row"] == row.name]
        record = {"row": row.name, "options": row.options, "seeds_done": len(mine), "seeds": len(definition.seeds)}
        for column in ACCURACIES:
            values = [result[column] for result in mine if column in result]
            if values:
                record[column] = spread(values)
        if mine:
            record["peak_bytes"] = max(result["peak_bytes"] for result in mine)
            record["seconds"] = spread([result["seconds"] for result in mine])
        rows.append({**record, "paper": row.paper})
    return rows


def cell(row, column):
    """Ours, as text."""
    if column == "peak":
        return f"{row['peak_bytes'] / 2**20:.1f}" if "peak_bytes" in row else "-"
    if column == "time":
        return duration(row["seconds"]["mean"]) if "seconds" in row else "-"
    if column not in row:
        return "-"
    deviation = row[column]["deviation"]
    return f"{row[column]['mean']:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


def published_cell(row, column):
    """The paper's, as text."""
    number = row["paper"].get(column, "-")
    if column not in ACCURACIES or number == "-":
        return str(number)
    mean, *deviation = number if isinstance(number, list) else [number]
    return f"{mean:.2f}" + "".join(f" ± {value:.2f}" for value in deviation)


def table_text(definition, rows):
    """Aligned columns; where a row has a published number of one, those stand beside it."""
    head, body = ["", "n"], [[row["row"], f"{row['seeds_done']}/{row['seeds']}"] for row in rows]
    for column in definition.columns:
        head.append(TITLES[column])
        published = any(column in row["paper"] for row in rows)
        if published:
            head.append("paper")
        for line, row in zip(body, rows):
            line.append(cell(row, column))
            if published:
                line.append(published_cell(row, column))
    widths = [max(len(line[i]) for line in [head] + body) for i in range(len(head))]
    lines = ["  ".join(text.ljust(width) if i == 0 else text.rjust(width)
                       for i, (text, width) in enumerate(zip(line, widths))).rstrip() for line in [head] + body]
    notes = [HEADER] + ([definition.note] if definition.note else [])
    return "\n".join([definition.title] + lines + notes)


def version(program):
    """What --version prints: "drnas_search 0.1.0", then a word and its value on each line."""
    lines = [line.split(None, 1) for line in program_text(program, ["--version"]).splitlines()]
    pairs = [pair for pair in lines if len(pair) == 2]
    return {"version": pairs[0][1], **dict(pairs[1:])} if pairs else {}


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def machine(device):
    record = {"processor": processor(), "cores": cores()}
    if device == "cuda":
        try:
            record["gpu"] = query_card(("name",))[0]
        except CheckError as failure:
            record["gpu"] = str(failure)
    return record


def definition_record(definition):
    """The definition that ran, without places of this machine."""
    options = {name: value for name, value in definition.options.items() if name not in PLACES}
    return {**definition.source, "options": options}


def record(definition, results, rows, program, **more):
    return {"title": definition.title, "definition": definition_record(definition), **more,
            "program": version(program), "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            "accuracy": HEADER, "note": definition.note, "rows": rows, "runs": results}


def write_json(path, data):
    """All or nothing."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    with open(path + ".part", "w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=2, ensure_ascii=False)
        stream.write("\n")
    os.replace(path + ".part", path)
