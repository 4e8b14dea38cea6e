# SPDX-License-Identifier: MIT
"""Made-up runs for the report page: everything, little, pruned, broken, short. Seeded, so that pages repeat."""

import math
import random

NB201_OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
NB201_EDGES = ["0→1", "0→2", "1→2", "0→3", "1→3", "2→3"]
DARTS_OPS = [
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
]
DARTS_EDGES = [f"{source}→{node}" for node in range(2, 6) for source in range(node)]
DATASETS = {"cifar10": (94.4, 10.0), "cifar100": (73.5, 1.0), "imagenet16_120": (46.3, 0.8)}
TAGS = ["weights", "gradients", "optimizer", "activations", "statistics", "workspace", "data"]
MIB = 1 << 20


def drawing(edges, labels):
    """A cell as SVG: nodes in a row, an arc and its operation for each edge."""
    names = sorted({end for edge in edges for end in edge.split("→")})
    x = {name: 40 + 110 * i for i, name in enumerate(names)}
    width, height = 80 + 110 * (len(names) - 1), 220
    parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">']
    for edge, label in zip(edges, labels):
        source, target = edge.split("→")
        lift = 150 - 26 * (x[target] - x[source]) / 55
        middle = (x[source] + x[target]) / 2
        parts.append(
            f'<path d="M{x[source]} 150 Q{middle} {lift} {x[target]} 150" fill="none" stroke="currentColor"/>'
        )
        parts.append(
            f'<text x="{middle}" y="{(lift + 150) / 2 - 3}" font-size="10" text-anchor="middle" '
            f'fill="currentColor">{label}</text>'
        )
    for name in names:
        parts.append(
            f'<circle cx="{x[name]}" cy="150" r="13" fill="none" stroke="currentColor"/>'
            f'<text x="{x[name]}" y="154" font-size="12" text-anchor="middle" fill="currentColor">{name}</text>'
        )
    return "".join(parts) + "</svg>"


def nb201_genotype(rows):
    ops = [NB201_OPS[row.index(max(row))] for row in rows]
    node, text = 0, []
    for count in (1, 2, 3):
        text.append("|" + "".join(f"{ops[node + i]}~{i}|" for i in range(count)))
        node += count
    return "+".join(text), ops


def curve(start, end, share, noise, rng):
    return end + (start - end) * math.exp(-4 * share) + rng.gauss(0, noise)


def curvature(share, rng, scale):
    eigenvalue = scale * (0.2 + 0.9 * share + rng.gauss(0, 0.04))
    return {
        "norm": 1.7 * eigenvalue,
        "spectral_norm": eigenvalue,
        "trace": 2.6 * eigenvalue,
        "eigenvalue": eigenvalue,
        "least_eigenvalue": -0.05 * scale * rng.random(),
    }


def hessian(share, loss, rng):
    trace_term = 0.06 * (1 - 0.6 * share)
    return {
        "batch": 64,
        "step": 0.05,
        "parameters": 30,
        "loss": loss,
        "theta": curvature(share, rng, 1.0),
        "mu": curvature(share, rng, 0.08),
        "bound": {"loss": loss, "trace_term": trace_term, "delta": 0.4 * share, "value": loss + trace_term},
        "expectation": {"samples": 32, "mean": loss + trace_term * 1.3, "deviation": 0.12},
    }


def trajectory(share, rng):
    record = {"samples": 100, "distinct": round(98 - 60 * share), "agreement": 0.21 + 0.6 * share}
    for name, (best, worst) in DATASETS.items():
        median = best * (0.8 + 0.19 * share)
        record[name] = {
            "min": worst + (median - worst) * 0.3 * share,
            "q1": median * (0.86 + 0.11 * share),
            "median": median,
            "q3": min(best, median * 1.05),
            "max": best - 0.2 * rng.random(),
        }
    return record


def concentrations(rows, ops, share, rng, favourite):
    return [
        [
            1 + (0.9 * share if op == favourite[row] else -0.45 * share) + rng.gauss(0, 0.02)
            for op in range(ops)
        ]
        for row in range(rows)
    ]


def memory(total):
    shares = [0.05, 0.05, 0.06, 0.62, 0.04, 0.1, 0.08]
    return {"total": total, "by_tag": {tag: int(total * share) for tag, share in zip(TAGS, shares)}}


def base_epoch(number, count, rng, rows, genotype, slower=1.0):
    share = (number - 1) / max(1, count - 1)
    return {
        "epoch": number,
        "stage": 1,
        "learning_rate": 0.001 + 0.0125 * (1 + math.cos(math.pi * share)),
        "train_loss": curve(2.1, 0.45 * slower, share, 0.01, rng),
        "train_top1": curve(22, 85 / slower, share, 0.4, rng),
        "val_loss": curve(2.05, 0.7 * slower, share, 0.03, rng),
        "val_top1": curve(25, 76 / slower, share, 0.8, rng),
        "genotype": genotype,
        "concentrations": rows,
        "step_ms": {"architecture": 581.2 + rng.gauss(0, 9), "weight": 748.3 + rng.gauss(0, 9)},
        "images_per_second": 96.2 + rng.gauss(0, 2),
    }


RISING = "dominant eigenvalue rising: 0.31 on average over the last 5 Hessians, 0.2 until epoch 14 <b>"


def nb201_epoch(number, epochs, rows, genotype, rng, slower):
    share = (number - 1) / max(1, epochs - 1)
    line = base_epoch(number, epochs, rng, rows, genotype, slower)
    line["seconds"] = {"train": 520.4 + rng.gauss(0, 6), "evaluation": 48.1, "trajectory": 0.21}
    line["peak_bytes"] = memory(int((340 + 37 * min(1, number / 3)) * MIB))
    line["pinned_bytes"] = 0
    line["phase_ms"] = {
        "architecture": {"forward": 260.0, "backward": 300.0, "optimizer": 21.0},
        "weight": {"forward": 262.0, "backward": 470.0, "optimizer": 16.0},
    }
    line["table"] = {key: best * (0.9 + 0.1 * share) - rng.random() for key, (best, _) in DATASETS.items()}
    line["trajectory"] = trajectory(share, rng)
    if number % 5 == 0:
        line["hessian"] = hessian(share, line["val_loss"], rng)
        line["seconds"]["hessian"] = 61.0
    return line


def nb201_run(name, group, seed, epochs=40, slower=1.0, warn=False):
    """A NAS-Bench-201 search with everything that a log may hold."""
    rng = random.Random(f"{name} {seed}")
    favourite = [3, 3, 1 if seed % 2 else 3, 1, 3, 3]
    lines = []
    for number in range(1, epochs + 1):
        rows = concentrations(6, 5, (number - 1) / max(1, epochs - 1), rng, favourite)
        genotype, ops = nb201_genotype(rows)
        lines.append(nb201_epoch(number, epochs, rows, genotype, rng, slower))
        if warn and number in (epochs // 2, epochs - 3):
            lines[-1]["warnings"] = [RISING]
    return {
        "name": name,
        "group": group,
        "seed": seed,
        "space": "nas-bench-201",
        "config": [
            ["preset", "nb201"],
            ["dataset", "cifar10"],
            ["epochs", str(epochs)],
            ["batch-size", "64"],
            ["regulariser-weight", "0.001" if slower == 1.0 else "0"],
            ["seed", str(seed)],
        ],
        "differs": ["regulariser-weight"],
        "command": f"./drnas_search --dataset cifar10 --data DIR --trajectory 100 --hessian every=5 --seed {seed}",
        "machine": {
            "processor": "AMD EPYC (AVX2)",
            "threads": 2,
            "version": "0.1.0",
            "commit": "0123abc",
            "started": "2026-11-24 10:00 UTC",
        },
        "budget_bytes": 512 * MIB,
        "cells": [
            {
                "name": "cell",
                "ops": NB201_OPS,
                "edges": NB201_EDGES,
                "first_row": 0,
                "svg": drawing(NB201_EDGES, ops),
                "dot": "digraph cell { 0 -> 1 }",
            }
        ],
        "genotype": genotype,
        "epochs": lines,
    }


def group_runs(seeds=4, epochs=40):
    """Two groups of seeds, everything logged, warnings in one run."""
    return [nb201_run(f"l2/seed-{s}", "l2", s, epochs, warn=s == 2) for s in range(1, seeds + 1)] + [
        nb201_run(f"none/seed-{s}", "none", s, epochs, slower=1.15) for s in range(1, seeds + 1)
    ]


def minimal_run(epochs=6):
    """An old log: nothing but what every line ever had, no machine, no budget."""
    rng = random.Random("minimal")
    lines = []
    for number in range(1, epochs + 1):
        rows = concentrations(6, 5, number / epochs, rng, [3] * 6)
        genotype, ops = nb201_genotype(rows)
        line = base_epoch(number, epochs, rng, rows, genotype)
        line["peak_bytes"] = {"total": 377 * MIB, "by_tag": {}}
        lines.append(line)
    return {
        "name": "old",
        "group": "old",
        "seed": 2,
        "space": "nas-bench-201",
        "config": [["dataset", "fashion-mnist"]],
        "differs": [],
        "command": "./drnas_search --preset quick",
        "machine": None,
        "budget_bytes": None,
        "genotype": genotype,
        "epochs": lines,
        "cells": [
            {
                "name": "cell",
                "ops": NB201_OPS,
                "edges": NB201_EDGES,
                "first_row": 0,
                "svg": drawing(NB201_EDGES, ops),
                "dot": "digraph { }",
            }
        ],
    }


def darts_run(epochs=24):
    """The DARTS space in two stages, operations pruned at the boundary, no table."""
    rng = random.Random("darts")
    favourite = [rng.randrange(7) for _ in range(28)]
    lines = []
    for number in range(1, epochs + 1):
        stage = 1 if number <= epochs // 2 else 2
        rows = concentrations(28, 7, number / epochs, rng, favourite)
        line = base_epoch(
            number, epochs, rng, rows, "Genotype(normal=[('sep_conv_5x5', 0)], reduce=[('max_pool_3x3', 0)])"
        )
        line.update(
            {
                "stage": stage,
                "seconds": {"train": 12400.0, "evaluation": 700.0},
                "peak_bytes": memory(int((5.1 if stage == 1 else 4.8) * 1024 * MIB)),
                "pinned_bytes": 153 * MIB,
                "trajectory": {"samples": 100, "distinct": 100, "agreement": 0.1 + 0.02 * number},
            }
        )
        line["step_ms"] = {"architecture": 2531.0, "weight": 3340.0}
        if stage == 2:
            line["kept"] = [
                [int(op in {favourite[row], (favourite[row] + 1) % 7, 2, 3}) for op in range(7)]
                for row in range(28)
            ]
        lines.append(line)
    cells = [
        {
            "name": name,
            "ops": DARTS_OPS,
            "edges": DARTS_EDGES,
            "first_row": first,
            "svg": drawing(DARTS_EDGES[:8], ["sep_conv_5x5"] * 8),
            "dot": "digraph { }",
        }
        for name, first in (("normal", 0), ("reduction", 14))
    ]
    return {
        "name": "darts-progressive",
        "group": "darts-progressive",
        "seed": 1,
        "space": "darts",
        "config": [["preset", "darts-cifar10"]],
        "differs": [],
        "command": "./drnas_search --preset darts-cifar10 --data DIR",
        "machine": {"device": "cpu", "threads": 16},
        "budget_bytes": 8192 * MIB,
        "cells": cells,
        "genotype": lines[-1]["genotype"],
        "epochs": lines,
    }


def diverging_run(epochs=12):
    """Losses that stop being finite, a search that stops on it."""
    run = nb201_run("diverging", "diverging", 7, epochs)
    for line in run["epochs"][7:]:
        line["train_loss"] = line["val_loss"] = None
        line.pop("hessian", None)
    run["epochs"][7]["warnings"] = ["validation loss is not finite: running statistics or weights diverge"]
    run["epochs"] = run["epochs"][:9]
    run["epochs"][-1]["stopped_on"] = "nan"
    return run


def all_pages():
    """Name of a page: (runs, panels that it must have, panels that it must not have)."""
    everything = [
        "summary",
        "cells",
        "weights",
        "curves",
        "trajectory",
        "hessian",
        "exploration",
        "memory",
        "time",
        "configuration",
    ]
    single = nb201_run("single", "single", 1, 40, warn=True)
    return {
        "groups": (group_runs(), everything + ["warnings"], []),
        "single": ([single], everything + ["warnings"], []),
        "minimal": (
            [minimal_run()],
            ["summary", "cells", "weights", "curves", "exploration", "memory", "time", "configuration"],
            ["trajectory", "hessian", "warnings"],
        ),
        "darts": (
            [darts_run()],
            ["summary", "cells", "weights", "curves", "exploration", "memory", "time"],
            ["trajectory", "hessian", "warnings"],
        ),
        "diverging": ([diverging_run()], everything[:5] + ["warnings", "exploration"], []),
        "one-epoch": (
            [nb201_run("short", "short", 1, 1)],
            ["summary", "cells", "weights", "curves", "trajectory", "memory", "time"],
            ["hessian", "warnings"],
        ),
        "mixed": (
            [darts_run(), minimal_run(), diverging_run()],
            ["summary", "cells", "weights", "curves", "trajectory", "memory", "time", "configuration"],
            [],
        ),
        "many": ([nb201_run(f"run-{i}", f"run-{i}", i, 8) for i in range(1, 12)], everything, ["warnings"]),
        "empty": (
            [{**minimal_run(), "epochs": [], "cells": [], "genotype": ""}],
            ["summary", "configuration"],
            ["curves", "memory", "weights"],
        ),
    }
