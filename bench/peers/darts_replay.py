# SPDX-License-Identifier: MIT
"""Replays the reference files of the DARTS space: one training pass of a search network or of a
derived one, its gradients and running statistics, then logits in evaluation mode."""

import torch
from torch.nn import functional

import tensor_file
from darts_model import EDGES, DartsSupernet, DerivedNetwork, parse_genotype
from supernet_replay import judge, to_numpy

BOUND = 1e-4  # both sides round in float32, by 8e-6 at most; a wrong formula is off by far more
NETS = ("search", "search_imagenet", "derived", "derived_imagenet")


def build(metadata, channels_last):
    channels, layers, classes = (int(metadata[key]) for key in ("c", "layers", "classes"))
    imagenet = metadata["net"].endswith("_imagenet")
    if metadata["net"].startswith("search"):
        partial = int(metadata["k"])
        return DartsSupernet(channels, layers, partial, classes, imagenet, channels_last)
    genotype = parse_genotype(metadata["genotype"])
    return DerivedNetwork(genotype, channels, layers, classes, imagenet)


def replay(reference, metadata, dtype, channels_last):
    """The derived tensors of a file, computed from its start."""
    form = torch.channels_last if channels_last else torch.contiguous_format

    def tensor(name):
        value = torch.from_numpy(reference[name])
        return value if value.dtype == torch.int64 else value.to(dtype)

    model = build(metadata, channels_last).to(dtype=dtype, memory_format=form)
    weights = [(n, value) for n, value in model.named_parameters() if n != "alpha"]
    with torch.no_grad():
        for name, value in weights:
            value.copy_(tensor("init." + name))
    images, target = tensor("input").contiguous(memory_format=form), tensor("target")
    result = {}
    if isinstance(model, DartsSupernet):
        theta = torch.cat([tensor("theta.normal"), tensor("theta.reduce")]).requires_grad_()
        inputs = (images, theta)
        result["logits"] = model(*inputs)
        loss = functional.cross_entropy(result["logits"], target)
    else:
        inputs = (images,)
        result["logits"], result["aux_logits"] = model(*inputs)
        second = functional.cross_entropy(result["aux_logits"], target)
        factor = float(metadata["auxiliary_weight"])
        loss = functional.cross_entropy(result["logits"], target) + factor * second
    loss.backward()
    result["loss"] = loss.reshape(1)
    if isinstance(model, DartsSupernet):
        result["grad.theta.normal"] = theta.grad[: len(EDGES)]
        result["grad.theta.reduce"] = theta.grad[len(EDGES) :]
    result.update({"grad." + name: value.grad for name, value in weights})
    for name, value in model.named_buffers():
        if not name.endswith("num_batches_tracked"):
            result["after." + name] = value
    model.eval()
    with torch.no_grad():
        logits = model(*inputs)
    result["eval_logits"] = logits if isinstance(model, DartsSupernet) else logits[0]
    return {name: to_numpy(value) for name, value in result.items()}


def verify(path, channels_last, dtype):
    """Prints the largest relative error of each group; true if all are small."""
    reference, metadata = tensor_file.load(path)
    if metadata.get("space") != "darts" or metadata.get("net") not in NETS:
        raise ValueError(f"{path}: metadata must say space darts and net {', '.join(NETS)}")
    return judge(replay(reference, metadata, dtype, channels_last), reference, path, BOUND)
