# SPDX-License-Identifier: MIT
"""Writes reference files of whole search steps: what each method of drnas_search does to alpha, to
the weights and to the running statistics of a small NAS-Bench-201 supernet in a few steps on given
batches. `parity` replays them."""

import argparse
import os
import sys

try:
    import numpy as np
    import torch

    import measure
    import method_rules
    import method_sampled
    import method_switches
    import philox
    import tensor_file
    from supernet_model import EDGE_NAMES, EDGES, OPS, Supernet
except ModuleNotFoundError as error:
    sys.exit(f"error: {sys.executable}: no module {error.name}: install PyTorch and numpy")

CLASSES = 10
CLOSE = 2e-5  # of a replay in float32, where no ReLU lies at its kink

METHODS = {
    "darts": method_rules.Darts,
    "darts-2nd": method_rules.SecondOrder,
    "pc-darts": method_rules.PcDarts,
    "sdarts-rs": method_rules.SdartsRs,
    "sdarts-adv": method_rules.SdartsAdv,
    "snas": method_rules.Snas,
    "gdas": method_rules.Gdas,
    "gdas-v1": method_rules.GdasV1,
    "dsnas": method_sampled.Dsnas,
    "proxyless": method_sampled.Proxyless,
    "proxyless-two": method_sampled.ProxylessTwo,
    "parsec": method_sampled.Parsec,
    "setn": method_sampled.Setn,
    "gaea": method_sampled.GaeaJoint,
    "gaea-bilevel": method_sampled.GaeaBilevel,
    "gaea-pc-darts": method_sampled.GaeaPcDarts,
    "bayesnas": method_switches.BayesNas,
}

# Rates are larger than those of a search, so that a step shows.
OPTIONS = {
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 3e-4,
    "nesterov": 0,
    "clip": 1.0,
    "clip_with_alpha": 1,
    "weights_first": 0,
    "schedule_first": 0,
    "schedule_last": 0,
    "epoch": 3,
    "epochs": 4,
}
OWN_OPTIONS = {
    "darts-2nd": {"clip_with_alpha": 0},
    "sdarts-rs": {"schedule_first": 0.03, "schedule_last": 0.3},
    "sdarts-adv": {"schedule_first": 0.03, "schedule_last": 0.3},
    "snas": {"schedule_first": 10, "schedule_last": 1},
    # The order and momentum of NAS-Bench-201's own baselines.
    "gdas": {"schedule_first": 10, "schedule_last": 0.1, "weights_first": 1, "nesterov": 1},
    "proxyless": {"batch": 2},
    "proxyless-two": {"batch": 2},
    "setn": {"weights_first": 1, "nesterov": 1, "clip": 0, "weight_decay": 5e-4},
    "gdas-v1": {"schedule_first": 10, "schedule_last": 0.1, "clip": 0, "weight_decay": 5e-4},
    "bayesnas": {"penalty": 0.01},
}
STEPS = {"proxyless": 6, "proxyless-two": 6}  # alpha learns in the first and the last


def to_numpy(value):
    return value.detach().to(torch.float32).numpy().copy()


def random_start(kind, sizes, options, steps, image_size):
    """Weights (of batch norm too, so that they matter), alpha and batches."""
    torch.manual_seed(options["seed"])
    model, record = Supernet(*sizes), {}
    for name, value in model.weights():
        if value.dim() == 1 and not name.startswith("classifier"):
            value.data.add_(0.2 * torch.randn_like(value))
        record["init." + name] = to_numpy(value)
    alpha = 0.5 * torch.randn(len(EDGES), len(OPS) + kind.edge_weights)
    if issubclass(kind, method_sampled.Gaea):
        alpha = simplex(alpha, kind.edge_weights)
    record["trace.alpha0"] = to_numpy(alpha)
    batch = options["batch"]
    for step in range(steps):
        judged = kind.every > 0 and step % kind.every == 0
        for part in ("train", "validation") if judged else ("train",):
            prefix = f"trace.{step}.{part}_"
            record[prefix + "input"] = to_numpy(torch.randn(batch, 3, image_size, image_size))
            record[prefix + "target"] = torch.randint(CLASSES, (batch,)).numpy()
    return record


def simplex(alpha, edge_weights):
    """The softmax of each row's operations, and of the edges into each node."""
    shares = torch.softmax(alpha[:, : len(OPS)], 1)
    if not edge_weights:
        return shares
    of_nodes = [torch.softmax(alpha[into, -1], 0) for into in method_rules.edges_of_nodes()]
    return torch.cat([shares, torch.cat(of_nodes).view(-1, 1)], 1)


def batch_of(record, step, part):
    """None where the step uses none."""
    prefix = f"trace.{step}.{part}_"
    if prefix + "input" not in record:
        return None
    return tuple(torch.from_numpy(record[prefix + name]) for name in ("input", "target"))


def run(kind, sizes, record, options, steps, dtype):
    """What follows from the record, in float64."""
    method, result = kind(sizes, record, options, dtype), {}
    alpha0 = method.alpha.detach().clone()
    for step in range(steps):
        given = (batch_of(record, step, part) for part in ("train", "validation"))
        for name, value in method.step(step, *given).items():
            result[f"trace.{step}.{name}"] = value.reshape(value.shape or (1,))
        result[f"trace.{step}.alpha_move"] = method.alpha.detach() - alpha0
    for name, value in method.finish(batch_of(record, 0, "validation")).items():
        result[f"trace.end.{name}"] = value
    for name, value in method.net.weights():
        start = torch.from_numpy(record["init." + name]).to(torch.float64)
        result["move." + name] = value.detach().double() - start
    for name, value in method.net.named_buffers():
        if not name.endswith("num_batches_tracked"):
            result["after." + name] = value.double()
    return result


def difference(result, precise):
    """Largest ||out - ref|| / ||ref||; moves of weights against all of them."""
    moves = [float(v.norm()) for n, v in precise.items() if n.startswith("move.")]
    least, worst = 0.1 * np.linalg.norm(moves), 0.0
    for name, value in precise.items():
        scale = max(value.norm(), least if name.startswith("move.") else 1e-30)
        worst = max(worst, float((result[name] - value).norm() / scale))
    return worst


def write(name, options):
    """The first seed, from the given one on, whose steps do not hang on single roundings."""
    kind, steps = METHODS[name], STEPS.get(name, 2)
    own = OPTIONS | {"batch": options.batch_size} | OWN_OPTIONS.get(name, {})
    own |= {"alpha_rate": kind.alpha_rate, "beta1": kind.beta1, "l2": kind.l2}
    channels = options.channels * kind.partial
    sizes = (channels, 1, kind.partial, CLASSES)
    for seed in range(options.seed, options.seed + 1000):
        settings = own | {"seed": seed}
        record = random_start(kind, sizes, settings, steps, options.image_size)
        arguments = (kind, sizes, record, settings, steps)
        precise = run(*arguments, torch.float64)
        rounded = difference(run(*arguments, torch.float32), precise)
        if rounded < CLOSE:
            break
    else:
        raise ValueError(f"{name}: no seed of 1000 is free of kinks")
    metadata = {
        "case": "step",
        "space": "nas-bench-201",
        "method": name,
        "c": channels,
        "n": 1,
        "k": kind.partial,
        "classes": CLASSES,
        "steps": steps,
        "edges": ",".join(EDGE_NAMES),
        "ops": ",".join(OPS),
        "layout": "NCHW input, OIHW weights",
        "torch": torch.__version__,
        "float32_difference": f"{rounded:.1e}",
    }
    record.update({key: to_numpy(value) for key, value in precise.items()})
    path = os.path.join(options.folder, f"method_step_{name}.safetensors")
    tensor_file.save(path, record, metadata | settings)
    print(f"{path}: seed {seed}, {len(record)} tensors, float32 differs by {rounded:.1e}")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=(*METHODS, "all"), default="all")
    parser.add_argument("--folder", default=".", help="where the files go (default: here)")
    parser.add_argument("--channels", type=int, default=2, metavar="C", help="times K")
    parser.add_argument("--batch-size", type=int, default=4, metavar="B")
    parser.add_argument("--image-size", type=int, default=16, metavar="PIXELS")
    parser.add_argument("--seed", type=int, default=1, help="first to try")
    options = parser.parse_args()
    for name in ("channels", "batch_size", "image_size"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')}: must be 1 or more")
    return options


def main():
    options = parse_options()
    philox.check()
    for name in METHODS if options.method == "all" else (options.method,):
        write(name, options)
    return 0


if __name__ == "__main__":
    measure.run_program(main)
