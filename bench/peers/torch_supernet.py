# SPDX-License-Identifier: MIT
"""Times the steps of a plain PyTorch supernet of NAS-Bench-201 or of the DARTS space, or checks
the networks of both spaces against a reference file (--verify)."""

import argparse
import sys

try:
    import torch

    import darts_replay
    import measure
    import supernet_replay
    import tensor_file
    from darts_model import DartsSupernet
    from supernet_model import Search, Supernet
except ModuleNotFoundError as error:
    sys.exit(f"error: {sys.executable}: no module {error.name}: install PyTorch and numpy")

SPACES = ("nas-bench-201", "darts", "darts-imagenet")
# Weight learning rate, alpha's, and whether the clipped norm counts alpha's gradient.
SETTINGS = {
    "nas-bench-201": (0.025, 3e-4, True),
    "darts": (0.1, 6e-4, False),
    "darts-imagenet": (0.5, 6e-3, False),
}


def make_model(space, channels, cells, partial, classes, channels_last):
    if space == "nas-bench-201":
        return Supernet(channels, cells, partial, classes, channels_last)
    imagenet = space == "darts-imagenet"
    return DartsSupernet(channels, cells, partial, classes, imagenet, channels_last)


def load_libraries(options):
    """Steps of a tiny supernet: PyTorch loads much of itself at the first optimiser and kernel,
    which would count as memory of the model otherwise."""
    cells = 1 if options.space == "nas-bench-201" else 3
    model = make_model(options.space, 8, cells, 1, options.classes, False)
    search = Search(model.to(options.device), options.clip)
    images = torch.randn(2, 3, 32, 32, device=options.device)
    target = torch.zeros(2, dtype=torch.long, device=options.device)
    search.architecture_step(images, target)
    search.weight_step(images, target)


def measure_steps(options):
    """Architecture and weight steps in turn on resident batches."""
    measure.set_up(options)
    load_libraries(options)
    torch.manual_seed(options.seed)
    start_bytes = measure.process_bytes("VmRSS")
    form = measure.memory_format(options)
    sizes = (options.channels, options.cells, options.partial_channels, options.classes)
    model = make_model(options.space, *sizes, options.layout == "channels_last")
    model = model.to(options.device, memory_format=form)
    search = Search(model, options.clip, *SETTINGS[options.space])
    cuda = options.device == "cuda"
    kinds = (search.architecture_step, search.weight_step)
    steps = [measure.StepTimes(kind, cuda) for kind in kinds]
    measure.run_in_turn(steps, measure.random_batches(2, options, form), options)
    report = {
        "program": "torch_supernet",
        "torch": torch.__version__,
        "space": options.space,
        "channels": options.channels,
        "cells": options.cells,
        "batch_size": options.batch_size,
        "image_size": options.image_size,
        "partial_channels": options.partial_channels,
        "steps": options.steps,
        "threads": torch.get_num_threads(),
        "layout": options.layout,
        "device": options.device,
        "architecture_step_ms": steps[0].summary(),
        "weight_step_ms": steps[1].summary(),
        "process_start_bytes": start_bytes,
        "process_peak_bytes": measure.process_bytes("VmHWM"),
    }
    report.update(measure.device_figures(options))
    return report


def verify(options):
    """Whether the networks compute what a reference file says."""
    _, metadata = tensor_file.load(options.verify)
    replay = darts_replay if metadata.get("space") == "darts" else supernet_replay
    channels_last = options.layout == "channels_last"
    return replay.verify(options.verify, channels_last, getattr(torch, options.dtype))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", choices=SPACES, default="nas-bench-201")
    parser.add_argument("--channels", type=int, default=16, metavar="C")
    parser.add_argument(
        "--cells", type=int, default=5, metavar="N", help="a stage; in the DARTS space in all"
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="B")
    parser.add_argument("--partial-channels", type=int, default=1, metavar="K")
    measure.add_common_options(parser)
    parser.add_argument(
        "--dump", metavar="FILE", help="write a reference file of NAS-Bench-201 and stop"
    )
    parser.add_argument("--verify", metavar="FILE", help="replay a reference file and stop")
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="of --verify"
    )
    options = parser.parse_args()
    positive = ("channels", "cells", "batch_size", "partial_channels")
    measure.check_options(options, positive, options.space == "darts-imagenet")
    if options.dump and options.space != "nas-bench-201":
        raise ValueError("--dump: expected --space nas-bench-201")
    return options


def main():
    options = parse_options()
    if options.verify:
        return 0 if verify(options) else 1
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
    measure.write(measure_steps(options), options)
    return 0


if __name__ == "__main__":
    measure.run_program(main)
