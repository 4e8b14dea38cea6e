# SPDX-License-Identifier: MIT
"""Times the steps of a plain PyTorch supernet of NAS-Bench-201, or checks it (--verify)."""

import argparse
import json
import statistics
import sys
import time

try:
    import torch

    import supernet_replay
    from supernet_model import Search, Supernet
except ModuleNotFoundError as error:
    sys.exit(f"error: {sys.executable}: no module {error.name}: install PyTorch and numpy")


def process_bytes(key):
    """VmRSS (now) or VmHWM (highest so far) of this process, in bytes."""
    with open("/proc/self/status", encoding="ascii") as stream:
        for line in stream:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status: no field {key}")


def spread(milliseconds):
    return {
        "median": statistics.median(milliseconds),
        "min": min(milliseconds),
        "max": max(milliseconds),
    }


def timed(step, images, target):
    """Wall time of a step in ms, with the device idle at both ends."""
    wait = torch.cuda.synchronize if images.is_cuda else lambda: None
    wait()
    begin = time.perf_counter()
    step(images, target)
    wait()
    return 1e3 * (time.perf_counter() - begin)


def load_libraries(options):
    """Steps of a tiny supernet: PyTorch loads much of itself at the first optimiser and kernel,
    which would count as memory of the model otherwise."""
    search = Search(Supernet(8, 1, 1).to(options.device), options.clip)
    images = torch.randn(2, 3, 32, 32, device=options.device)
    target = torch.zeros(2, dtype=torch.long, device=options.device)
    search.architecture_step(images, target)
    search.weight_step(images, target)


def device_figures(options):
    """What only a GPU has: its name, the number type of convolutions and the bytes in use."""
    if options.device != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info()
    return {
        "device_name": torch.cuda.get_device_name(),
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "device_peak_bytes": torch.cuda.max_memory_reserved(),
        "device_allocated_peak_bytes": torch.cuda.max_memory_allocated(),
        "card_used_at_end_bytes": total - free,
    }


def measure(options):
    """Architecture and weight steps in turn on resident batches, after one of each uncounted (on
    a GPU: four, as ours)."""
    if options.tf32 != "default":
        torch.backends.cudnn.allow_tf32 = options.tf32 == "on"
    load_libraries(options)
    torch.manual_seed(options.seed)
    start_bytes = process_bytes("VmRSS")
    channels_last = options.layout == "channels_last"
    form = torch.channels_last if channels_last else torch.contiguous_format
    model = Supernet(
        options.channels, options.cells, options.partial_channels, channels_last=channels_last
    ).to(options.device, memory_format=form)
    search = Search(model, options.clip)
    shape = (options.batch_size, 3, 32, 32)
    batches = []
    for _ in range(2):
        images = torch.randn(shape).to(options.device, memory_format=form)
        batches.append((images, torch.randint(10, shape[:1]).to(options.device)))
    architecture_ms, weight_ms = [], []
    warm_up = 4 if options.device == "cuda" else 1
    for _ in range(options.steps + warm_up):
        architecture_ms.append(timed(search.architecture_step, *batches[0]))
        weight_ms.append(timed(search.weight_step, *batches[1]))
    report = {
        "program": "torch_supernet",
        "torch": torch.__version__,
        "space": "nas-bench-201",
        "channels": options.channels,
        "cells": options.cells,
        "batch_size": options.batch_size,
        "partial_channels": options.partial_channels,
        "steps": options.steps,
        "threads": torch.get_num_threads(),
        "layout": options.layout,
        "device": options.device,
        "architecture_step_ms": spread(architecture_ms[warm_up:]),
        "weight_step_ms": spread(weight_ms[warm_up:]),
        "process_start_bytes": start_bytes,
        "process_peak_bytes": process_bytes("VmHWM"),
    }
    report.update(device_figures(options))
    return report


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=16, metavar="C")
    parser.add_argument("--cells", type=int, default=5, metavar="N", help="cells a stage")
    parser.add_argument("--batch-size", type=int, default=64, metavar="B")
    parser.add_argument("--partial-channels", type=int, default=1, metavar="K")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, or steps of the trace")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as PyTorch takes")
    parser.add_argument("--layout", choices=("published", "channels_last"), default="published")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--tf32",
        choices=("default", "on", "off"),
        default="default",
        help="number type of convolutions on a GPU (default: as this PyTorch ships)",
    )
    parser.add_argument("--clip", type=float, default=5.0, help="largest gradient norm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--dump", metavar="FILE", help="write a reference file and stop")
    parser.add_argument("--verify", metavar="FILE", help="replay a reference file and stop")
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="of --verify"
    )
    options = parser.parse_args()
    for name in ("channels", "cells", "batch_size", "partial_channels", "steps"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')}: must be 1 or more")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: this PyTorch sees no CUDA device")
    return options


def main():
    options = parse_options()
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    if options.verify:
        channels_last = options.layout == "channels_last"
        dtype = getattr(torch, options.dtype)
        right = supernet_replay.verify(options.verify, channels_last, dtype)
        return 0 if right else 1
    if options.dump:
        supernet_replay.dump(
            options.dump,
            options.channels,
            options.cells,
            options.partial_channels,
            options.batch_size,
            options.steps,
            options.clip,
            options.seed,
        )
        return 0
    text = json.dumps(measure(options), indent=2)
    print(text)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
