# SPDX-License-Identifier: MIT
"""What every timing program of a PyTorch network needs: times, bytes, and options in common."""

import json
import statistics
import sys
import time

import torch


def process_bytes(key):
    """VmRSS (now) or VmHWM (highest so far) of this process, in bytes."""
    with open("/proc/self/status", encoding="ascii") as stream:
        for line in stream:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status: no field {key}")


class StepTimes:
    """Wall times of a kind of step in ms, with the device idle at both ends, and on a CPU of its
    phases (a GPU's are not told apart: that would make it wait)."""

    def __init__(self, step, cuda):
        self.step = step
        self.cuda = cuda
        self.totals = []
        self.phases = {}

    def run(self, images, target, counted):
        wait = torch.cuda.synchronize if self.cuda else lambda: None
        wait()
        begin = last = time.perf_counter()
        laps = {}

        def lap(phase):
            nonlocal last
            now = time.perf_counter()
            laps[phase] = 1e3 * (now - last)
            last = now

        self.step(images, target, lap)
        wait()
        total = 1e3 * (time.perf_counter() - begin)
        if not counted:
            return
        self.totals.append(total)
        for phase, milliseconds in laps.items():
            self.phases.setdefault(phase, []).append(milliseconds)

    def summary(self):
        figures = {
            "median": statistics.median(self.totals),
            "min": min(self.totals),
            "max": max(self.totals),
        }
        if not self.cuda:
            figures["phases"] = {k: statistics.median(v) for k, v in self.phases.items()}
        return figures


def run_in_turn(steps, batches, options):
    """Steps of every kind in turn, each on a batch of its own; one of each is not counted (on a
    GPU: four, as ours)."""
    warm_up = 4 if options.device == "cuda" else 1
    for round_number in range(options.steps + warm_up):
        for times, batch in zip(steps, batches):
            times.run(*batch, counted=round_number >= warm_up)


def random_batches(count, options, form):
    """Images that are resident on the device, and their classes."""
    shape = (options.batch_size, 3, options.image_size, options.image_size)
    batches = []
    for _ in range(count):
        images = torch.randn(shape).to(options.device, memory_format=form)
        batches.append((images, torch.randint(options.classes, shape[:1]).to(options.device)))
    return batches


def memory_format(options):
    return torch.channels_last if options.layout == "channels_last" else torch.contiguous_format


def set_up(options):
    """Before anything is measured."""
    if options.tf32 != "default":
        torch.backends.cudnn.allow_tf32 = options.tf32 == "on"


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


def add_common_options(parser):
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
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument(
        "--image-size", type=int, default=0, help="pixels; 0: 32, for ImageNet stems 224"
    )
    parser.add_argument("--clip", type=float, default=5.0, help="largest gradient norm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")


def check_options(options, positive, imagenet):
    """Throws ValueError for a number below 1 or a device that is not there; sets the threads."""
    for name in positive + ("steps", "classes"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')}: must be 1 or more")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: this PyTorch sees no CUDA device")
    options.image_size = options.image_size or (224 if imagenet else 32)
    if options.threads > 0:
        torch.set_num_threads(options.threads)


def write(report, options):
    text = json.dumps(report, indent=2)
    print(text)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")


def run_program(main):
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
