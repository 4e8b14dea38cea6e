# SPDX-License-Identifier: MIT
"""Reference files of the supernet: writes them (`dump`) and replays existing ones (`verify`).

A file holds the start (`init.*`, `input`, `target`, `theta`, `trace.alpha0`, the batches and the
mixing weights of every trace step) and what follows from it. Both directions run `replay`, which
computes the second from the first, and draws the mixing weights where the record has none.
"""

import re

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import tensor_file
from supernet_model import EDGE_NAMES, OPS, Search, Supernet

BUG = 1e-3  # relative error above which the two implementations do not compute the same thing


def to_numpy(value):
    value = value.detach().contiguous()
    kind = torch.int64 if value.dtype == torch.int64 else torch.float32
    return value.to(kind).numpy().copy()


class Replay:
    """One pass over a record at a given precision; `result` collects the derived tensors."""

    def __init__(self, record, metadata, dtype, channels_last):
        self.record = record
        self.dtype = dtype
        self.form = torch.channels_last if channels_last else torch.contiguous_format
        self.steps = int(metadata["steps"])
        sizes = [int(metadata[key]) for key in ("c", "n", "k", "classes")]
        self.model = Supernet(*sizes, channels_last).to(dtype=dtype, memory_format=self.form)
        with torch.no_grad():
            for name, parameter in self.model.weights():
                parameter.copy_(self.tensor("init." + name))
            self.model.alpha.copy_(self.tensor("trace.alpha0"))
        self.search = Search(self.model, float(metadata["clip"]))
        self.result = {}

    def tensor(self, name):
        value = torch.from_numpy(self.record[name])
        return value if value.dtype == torch.int64 else value.to(self.dtype)

    def theta(self, name):
        """The recorded mixing weights, or fresh ones which then belong to the record."""
        if name not in self.record:
            with torch.no_grad():
                self.record[name] = to_numpy(self.model.draw())
        return self.tensor(name).requires_grad_()

    def keep(self, name, value):
        self.result[name] = to_numpy(value)

    def loss(self, prefix, theta):
        images = self.tensor(prefix + "input").contiguous(memory_format=self.form)
        logits = self.model(images, theta)
        return logits, functional.cross_entropy(logits, self.tensor(prefix + "target"))

    def first_forward(self):
        """Logits, gradients and running statistics of one step, then evaluation logits."""
        theta = self.theta("theta")
        logits, loss = self.loss("", theta)
        loss.backward()
        self.keep("logits", logits)
        self.keep("loss", loss.reshape(1))
        self.keep("grad.theta", theta.grad)
        for name, parameter in self.model.weights():
            self.keep("grad." + name, parameter.grad)
        for name, value in self.model.named_buffers():
            if not name.endswith("num_batches_tracked"):
                self.keep("after." + name, value)
        self.model.eval()
        with torch.no_grad():
            self.keep("eval_logits", self.model(self.tensor("input"), theta))
        self.model.train()

    def architecture_step(self, step):
        """dL/dtheta -> dL/dbeta by the pathwise derivative of torch -> dL/dalpha -> Adam."""
        prefix = f"trace.{step}."
        theta = self.theta(prefix + "arch_theta")
        _, loss = self.loss(prefix + "arch_", theta)
        loss.backward()
        beta = self.model.concentration()
        sample, total = theta.detach(), beta.detach().sum(-1, True).expand_as(beta)
        slope = theta.grad - (sample * theta.grad).sum(-1, True)
        grad_beta = torch._dirichlet_grad(sample, beta.detach(), total.contiguous()) * slope
        self.search.alpha_optimizer.zero_grad()
        beta.backward(grad_beta)
        self.keep(prefix + "grad_theta", theta.grad)
        self.keep(prefix + "grad_beta", grad_beta)
        self.keep(prefix + "grad_alpha", self.model.alpha.grad)
        self.search.alpha_optimizer.step()
        self.keep(prefix + "alpha", self.model.alpha)
        return loss

    def weight_step(self, step):
        prefix = f"trace.{step}."
        self.search.weight_optimizer.zero_grad()
        _, loss = self.loss(prefix + "weight_", self.theta(prefix + "weight_theta"))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.search.weights, self.search.clip)
        self.keep(prefix + "grad_norm", norm.reshape(1))
        self.search.weight_optimizer.step()
        return loss

    def run(self):
        self.first_forward()
        losses = []
        for step in range(self.steps):
            losses += [self.architecture_step(step), self.weight_step(step)]
        self.keep("trace.losses", torch.stack(losses))
        for name, parameter in self.model.weights():
            self.keep("trace.final." + name, parameter)
        return self.result


def replay(record, metadata, dtype=torch.float32, channels_last=False):
    return Replay(record, metadata, dtype, channels_last).run()


def group_of(name):
    name = re.sub(r"^trace\.\d+\.", "trace.", name)
    for prefix in ("grad.theta", "grad", "after", "trace.final"):
        if name.startswith(prefix + ".") or name == prefix:
            return prefix
    return name


def relative_errors(result, reference):
    """Largest ||out - ref|| / ||ref|| of each group; the smallest gradients of weights, which are
    rounding alone before a BN without parameters, are measured against 1e-3 of all of them."""
    gradients = [v for name, v in reference.items() if name.startswith("grad.")]
    floor = 1e-3 * np.sqrt(sum(np.sum(v.astype(np.float64) ** 2) for v in gradients))
    errors = {}
    for name, values in result.items():
        expected = reference[name].astype(np.float64)
        scale = max(np.linalg.norm(expected), floor if name.startswith("grad.") else 1e-30)
        error = np.linalg.norm(values - expected) / scale
        group = group_of(name)
        errors[group] = max(errors.get(group, 0.0), float(error))
    return errors


def judge(result, reference, path, bound=BUG):
    """Prints the largest relative error of each group; true if all stay within the bound."""
    derived = {name for name in reference if group_of(name) in {group_of(n) for n in result}}
    if derived != set(result):
        raise ValueError(f"{path}: tensor {sorted(derived ^ set(result))[0]} has no counterpart")
    errors = relative_errors(result, reference)
    for group, error in errors.items():
        print(f"{group:<20} {error:.2e}")
    worst = max(errors.values())
    print(f"{'largest':<20} {worst:.2e}  {'ok' if worst <= bound else 'FAILED'}")
    return worst <= bound


def verify(path, channels_last, dtype):
    """Replays a file and prints the largest relative error of each group; true if all are small.

    A ReLU input next to zero may change its sign by rounding, and gradients jump then. Batch
    statistics round worse in channels_last, so a trace can part there in float32 though not in
    float64, which checks what is computed without the rounding."""
    reference, metadata = tensor_file.load(path)
    if metadata.get("space") != "nas-bench-201":
        raise ValueError(f"{path}: metadata space must be nas-bench-201")
    return judge(replay(dict(reference), metadata, dtype, channels_last), reference, path)


def random_start(metadata, seed):
    """Random weights (BN parameters too, so that they matter), batches and alpha."""
    torch.manual_seed(seed)
    batch, classes = int(metadata["batch"]), int(metadata["classes"])
    model = Supernet(int(metadata["c"]), int(metadata["n"]), int(metadata["k"]), classes)
    record = {}
    for name, value in model.weights():
        if value.dim() == 1 and not name.startswith("classifier"):
            value.data.add_(0.2 * torch.randn_like(value))
        record["init." + name] = to_numpy(value)
    record["trace.alpha0"] = to_numpy(0.3 * torch.randn_like(model.alpha))
    steps = range(int(metadata["steps"]))
    parts = [f"trace.{step}.{kind}_" for step in steps for kind in ("arch", "weight")]
    for prefix in [""] + parts:
        record[prefix + "input"] = to_numpy(torch.randn(batch, 3, 32, 32))
        record[prefix + "target"] = to_numpy(torch.randint(classes, (batch,)))
    return record


def file_order(record, metadata):
    """The names in the order of the reference files: start, one forward, trace."""
    names = list(record)
    starts = [n for n in names if n.startswith("init.")] + ["input", "target", "theta"]
    single = ["logits", "loss"] + [n for n in names if n.startswith(("grad.", "after."))]
    ordered = starts + single + ["eval_logits", "trace.alpha0"]
    kinds = (
        "arch_input arch_target arch_theta grad_theta grad_beta grad_alpha alpha "
        "weight_input weight_target weight_theta grad_norm"
    ).split()
    ordered += [f"trace.{t}.{kind}" for t in range(int(metadata["steps"])) for kind in kinds]
    return ordered + ["trace.losses"] + [n for n in names if n.startswith("trace.final.")]


def dump(path, channels, cells, partial, batch, steps, clip, seed):
    """Writes a reference file; float64_difference tells what a float64 replay makes of it."""
    metadata = {
        "space": "nas-bench-201",
        "c": channels,
        "n": cells,
        "k": partial,
        "batch": batch,
        "classes": 10,
        "steps": steps,
        "clip": clip,
        "seed": seed,
        "edges": ",".join(EDGE_NAMES),
        "ops": ",".join(OPS),
        "layout": "NCHW input, OIHW weights",
        "torch": torch.__version__,
    }
    record = random_start(metadata, seed)
    result = replay(record, metadata)
    precise = replay(dict(record), metadata, torch.float64)
    metadata["float64_difference"] = f"{max(relative_errors(result, precise).values()):.1e}"
    record.update(result)
    ordered = {name: record[name] for name in file_order(record, metadata)}
    tensor_file.save(path, ordered, metadata)
    print(f"{path}: {len(ordered)} tensors, float64 difference {metadata['float64_difference']}")
