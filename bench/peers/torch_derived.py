# SPDX-License-Identifier: MIT
"""Times the training step of a derived network in plain PyTorch."""

import argparse
import sys

try:
    import torch
    from torch import nn
    from torch.nn import functional

    import measure
    from darts_model import DerivedNetwork, parse_genotype
    from supernet_model import no_lap
except ModuleNotFoundError as error:
    sys.exit(f"error: {sys.executable}: no module {error.name}: install PyTorch and numpy")


class Training:
    """SGD with the published settings."""

    def __init__(self, model, clip=5.0, auxiliary_weight=0.4):
        self.model = model
        self.clip = clip
        self.auxiliary_weight = auxiliary_weight
        self.optimizer = torch.optim.SGD(
            model.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4
        )

    def step(self, images, target, lap=no_lap):
        self.optimizer.zero_grad()
        logits, auxiliary = self.model(images)
        loss = functional.cross_entropy(logits, target)
        if auxiliary is not None:
            loss = loss + self.auxiliary_weight * functional.cross_entropy(auxiliary, target)
        lap("forward")
        loss.backward()
        lap("backward")
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        lap("optimizer")
        return loss


def make_model(options, channels, layers):
    genotype = parse_genotype(options.genotype)
    classes, imagenet = options.classes, options.imagenet
    model = DerivedNetwork(genotype, channels, layers, classes, imagenet, options.auxiliary)
    model.drop_path = options.drop_path
    return model


def load_libraries(options):
    """A step of a tiny network, so that PyTorch's own code does not count as memory."""
    training = Training(make_model(options, 8, 3).to(options.device), options.clip)
    side = options.image_size
    images = torch.randn(2, 3, side, side, device=options.device)
    training.step(images, torch.zeros(2, dtype=torch.long, device=options.device))


def measure_steps(options):
    measure.set_up(options)
    load_libraries(options)
    torch.manual_seed(options.seed)
    start_bytes = measure.process_bytes("VmRSS")
    form = measure.memory_format(options)
    model = make_model(options, options.channels, options.layers)
    model = model.to(options.device, memory_format=form)
    training = Training(model, options.clip)
    times = measure.StepTimes(training.step, options.device == "cuda")
    measure.run_in_turn([times], measure.random_batches(1, options, form), options)
    head = [value for name, value in model.named_parameters() if "auxiliary" in name]
    count = sum(value.numel() for value in model.parameters())
    report = {
        "program": "torch_derived",
        "torch": torch.__version__,
        "genotype": options.genotype,
        "imagenet": options.imagenet,
        "channels": options.channels,
        "layers": options.layers,
        "batch_size": options.batch_size,
        "image_size": options.image_size,
        "auxiliary": options.auxiliary,
        "drop_path": options.drop_path,
        "parameters": count - sum(value.numel() for value in head),
        "steps": options.steps,
        "threads": torch.get_num_threads(),
        "layout": options.layout,
        "device": options.device,
        "training_step_ms": times.summary(),
        "process_start_bytes": start_bytes,
        "process_peak_bytes": measure.process_bytes("VmHWM"),
    }
    report.update(measure.device_figures(options))
    return report


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--genotype", default="DrNAS_cifar10", help="a published name or Genotype(...)"
    )
    parser.add_argument("--imagenet", action="store_true", help="stem and head for 224 pixels")
    parser.add_argument("--channels", type=int, default=36, metavar="C")
    parser.add_argument("--layers", type=int, default=20, metavar="N", help="cells in all")
    parser.add_argument("--batch-size", type=int, default=32, metavar="B")
    parser.add_argument("--drop-path", type=float, default=0.3, metavar="P")
    parser.add_argument("--no-auxiliary", dest="auxiliary", action="store_false")
    measure.add_common_options(parser)
    options = parser.parse_args()
    measure.check_options(options, ("channels", "layers", "batch_size"), options.imagenet)
    if not 0 <= options.drop_path < 1:
        raise ValueError("--drop-path: must be at least 0 and below 1")
    return options


def main():
    options = parse_options()
    measure.write(measure_steps(options), options)
    return 0


if __name__ == "__main__":
    measure.run_program(main)
