# SPDX-License-Identifier: MIT
"""The DARTS-space search network of DrNAS and derived networks in plain PyTorch.

They do the work that the published programs do, no more and no less: every candidate operation is
a module of its own, and a mixed edge scales its output by a scalar mixing weight and adds. The
parameter names are those of the reference files.
"""

import ast
from collections import namedtuple

import torch
from torch import nn

from supernet_model import ReluConvBn, SearchNetwork, channel_shuffle

OPS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NODES = 4
EDGES = tuple((j, i) for j in range(NODES) for i in range(j + 2))  # (node, state that it reads)

Genotype = namedtuple("Genotype", "normal normal_concat reduce reduce_concat")

GENOTYPES = {
    "DrNAS_cifar10": "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_5x5', 1), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 2), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 2), ('dil_conv_5x5', 3)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('dil_conv_5x5', 2), ('sep_conv_5x5', 1), "
    "('sep_conv_5x5', 1), ('dil_conv_5x5', 3), ('skip_connect', 4), ('sep_conv_5x5', 1)], "
    "reduce_concat=range(2, 6))",
    "DrNAS_imagenet": "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('dil_conv_3x3', 3), "
    "('skip_connect', 0), ('sep_conv_3x3', 1)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2), "
    "('sep_conv_3x3', 0), ('sep_conv_3x3', 2), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1)], "
    "reduce_concat=range(2, 6))",
}


def parse_genotype(text):
    """The Genotype of a published name or of a line Genotype(normal=[...], ...)."""

    def value_of(node):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range":
            return list(range(*(ast.literal_eval(argument) for argument in node.args)))
        return ast.literal_eval(node)

    try:
        call = ast.parse(GENOTYPES.get(text, text), mode="eval").body
        return Genotype(**{keyword.arg: value_of(keyword.value) for keyword in call.keywords})
    except (AttributeError, SyntaxError, TypeError, ValueError):
        names = ", ".join(GENOTYPES)
        raise ValueError(f"genotype '{text}': expected {names} or Genotype(normal=[...])") from None


class FactorizedReduce(nn.Module):
    """ReLU, two 1x1 convolutions of stride 2, the second shifted by a pixel; concatenated, BN."""

    def __init__(self, c_in, c_out, affine):
        super().__init__()
        if c_out % 2:
            raise ValueError(f"stride 2 on {c_out} channels: expected an even number")
        self.relu = nn.ReLU(inplace=False)
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x):
        x = self.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


class Separable(nn.Module):
    """Halves of ReLU, depthwise and 1x1 convolution, BN; the first has the stride."""

    def __init__(self, channels, kernel, stride, dilation, halves, affine):
        super().__init__()
        padding = dilation * (kernel // 2)
        layers = []
        for half in range(halves):
            depthwise = nn.Conv2d(
                channels,
                channels,
                kernel,
                stride if half == 0 else 1,
                padding,
                dilation,
                groups=channels,
                bias=False,
            )
            layers += [
                nn.ReLU(inplace=False),
                depthwise,
                nn.Conv2d(channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels, affine=affine),
            ]
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


class Pool(nn.Module):
    """Pooling and a BN without parameters, in derived networks as well."""

    def __init__(self, pool, channels):
        super().__init__()
        self.op = nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))

    def forward(self, x):
        return self.op(x)


def make_op(name, channels, stride, affine):
    """An operation of the space that keeps the number of channels."""
    if name == "max_pool_3x3":
        return Pool(nn.MaxPool2d(3, stride, 1), channels)
    if name == "avg_pool_3x3":
        return Pool(nn.AvgPool2d(3, stride, 1, count_include_pad=False), channels)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    kind, _, size = name.partition("_conv_")
    if kind not in ("sep", "dil"):
        raise ValueError(f"operation '{name}': expected one of {', '.join(OPS)}")
    dilation, halves = (1, 2) if kind == "sep" else (2, 1)
    return Separable(channels, int(size[0]), stride, dilation, halves, affine)


class MixedOp(nn.Module):
    """sum_o w_o op_o(x) on the first 1/K of the channels; the others pass by, at stride 2 through
    a maximum pool."""

    def __init__(self, channels, stride, partial, channels_last):
        super().__init__()
        self._ops = nn.ModuleList(
            [make_op(name, channels // partial, stride, affine=False) for name in OPS]
        )
        self.bypass = nn.MaxPool2d(2, 2) if stride == 2 else nn.Identity()
        self.partial = partial
        self.channels_last = channels_last

    def forward(self, x, weights):
        part = x.shape[1] // self.partial
        active = x if self.partial == 1 else x[:, :part]
        mixed = sum(w * op(active) for w, op in zip(weights, self._ops) if not w == 0)
        if self.partial == 1:
            return mixed
        joined = torch.cat([mixed, self.bypass(x[:, part:])], dim=1)
        return channel_shuffle(joined, self.partial, self.channels_last)


class Cell(nn.Module):
    """Both inputs brought to the cell's width; what the nodes do is up to the subclass."""

    def __init__(self, widths, channels, reduction_before, affine):
        super().__init__()
        before, last = widths
        if reduction_before:
            self.preprocess0 = FactorizedReduce(before, channels, affine)
        else:
            self.preprocess0 = ReluConvBn(before, channels, 1, 1, affine)
        self.preprocess1 = ReluConvBn(last, channels, 1, 1, affine)


class SearchCell(Cell):
    multiplier = NODES  # the output's channels are so many times the cell's

    def __init__(self, widths, channels, reduction, reduction_before, partial, channels_last):
        super().__init__(widths, channels, reduction_before, affine=False)
        self._ops = nn.ModuleList(
            [
                MixedOp(channels, 2 if reduction and i < 2 else 1, partial, channels_last)
                for _, i in EDGES
            ]
        )

    def forward(self, s0, s1, theta):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        edge = 0
        for node in range(NODES):
            terms = []
            for state in states[: node + 2]:
                terms.append(self._ops[edge](state, theta[edge]))
                edge += 1
            states.append(sum(terms))
        return torch.cat(states[2:], dim=1)


def drop_path(x, probability):
    """Each image loses x with this probability; in place, as published."""
    keep = 1.0 - probability
    mask = torch.empty((x.shape[0], 1, 1, 1), dtype=x.dtype, device=x.device).bernoulli_(keep)
    return x.div_(keep).mul_(mask)


class DerivedCell(Cell):
    def __init__(self, genes, concat, widths, channels, reduction, reduction_before):
        super().__init__(widths, channels, reduction_before, affine=True)
        self.multiplier = len(concat)
        self.sources = [source for _, source in genes]
        self.concat = concat
        self._ops = nn.ModuleList(
            [
                make_op(name, channels, 2 if reduction and source < 2 else 1, affine=True)
                for name, source in genes
            ]
        )

    def forward(self, s0, s1, probability):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for first in range(0, len(self.sources), 2):
            terms = []
            for index in (first, first + 1):
                op = self._ops[index]
                term = op(states[self.sources[index]])
                if self.training and probability > 0 and not isinstance(op, nn.Identity):
                    term = drop_path(term, probability)
                terms.append(term)
            states.append(terms[0] + terms[1])
        return torch.cat([states[i] for i in self.concat], dim=1)


def image_stem(width):
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))


def imagenet_stems(width):
    """Three convolutions of stride 2: the first two, and the third."""
    first = nn.Sequential(
        nn.Conv2d(3, width // 2, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width // 2),
        nn.ReLU(inplace=True),
        nn.Conv2d(width // 2, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
    )
    second = nn.Sequential(
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
    )
    return first, second


def build_body(network, channels, layers, stem_width, imagenet, make_cell):
    """Stem and cells; make_cell(widths, channels, reduction, reduction_before). The channels of
    every cell's output."""
    if imagenet:
        network.stem0, network.stem1 = imagenet_stems(stem_width)
    else:
        network.stem = image_stem(stem_width)
    widths, reduced, cells, outputs = (stem_width, stem_width), imagenet, [], []
    for layer in range(layers):
        reduction = layer in (layers // 3, 2 * layers // 3)
        channels = 2 * channels if reduction else channels
        cells.append(make_cell(widths, channels, reduction, reduced))
        outputs.append(cells[-1].multiplier * channels)
        widths, reduced = (widths[1], outputs[-1]), reduction
    network.cells = nn.ModuleList(cells)
    return outputs


def run_stem(network, x):
    if hasattr(network, "stem"):
        x = network.stem(x)
        return x, x
    first = network.stem0(x)
    return first, network.stem1(first)


class AuxiliaryHead(nn.Module):
    """A second classifier, for maps of 8 x 8 (CIFAR) or 7 x 7 pixels (ImageNet)."""

    def __init__(self, channels, classes, imagenet):
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(inplace=False),
            nn.AvgPool2d(5, stride=2 if imagenet else 3, padding=0, count_include_pad=False),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 768, 2, bias=False),
            *([] if imagenet else [nn.BatchNorm2d(768)]),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class DartsSupernet(SearchNetwork):
    """Rows 0 to 13 of theta [28, 7] are for normal cells, the others for reduction cells."""

    def __init__(
        self, channels, layers, partial, classes=10, imagenet=False, channels_last=False
    ):
        super().__init__()
        if channels % partial:
            raise ValueError(f"--partial-channels {partial}: must divide --channels {channels}")

        def make_cell(widths, width, reduction, before):
            return SearchCell(widths, width, reduction, before, partial, channels_last)

        outputs = build_body(self, channels, layers, 3 * channels, imagenet, make_cell)
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(outputs[-1], classes)
        self.alpha = nn.Parameter(1e-3 * torch.randn(2 * len(EDGES), len(OPS)))
        self.reductions = {layers // 3, 2 * layers // 3}

    def forward(self, x, theta=None):
        """Logits [B, classes]; theta is drawn here unless given."""
        theta = self.draw() if theta is None else theta
        kinds = theta[: len(EDGES)], theta[len(EDGES) :]
        s0, s1 = run_stem(self, x)
        for layer, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, kinds[layer in self.reductions])
        return self.classifier(self.global_pooling(s1).flatten(1))


class DerivedNetwork(nn.Module):
    """Logits, and in training those of the auxiliary head (None without one)."""

    def __init__(self, genotype, channels, layers, classes=10, imagenet=False, auxiliary=True):
        super().__init__()
        self.drop_path = 0.0

        def make_cell(widths, width, reduction, before):
            kind = (genotype.reduce, genotype.reduce_concat)
            if not reduction:
                kind = (genotype.normal, genotype.normal_concat)
            return DerivedCell(*kind, widths, width, reduction, before)

        stem_width = channels if imagenet else 3 * channels
        outputs = build_body(self, channels, layers, stem_width, imagenet, make_cell)
        self.auxiliary_layer = 2 * layers // 3
        self.auxiliary_head = None
        if auxiliary:
            self.auxiliary_head = AuxiliaryHead(outputs[self.auxiliary_layer], classes, imagenet)
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(outputs[-1], classes)

    def forward(self, x):
        s0, s1 = run_stem(self, x)
        auxiliary = None
        for layer, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, self.drop_path)
            if self.auxiliary_head is not None and self.training and layer == self.auxiliary_layer:
                auxiliary = self.auxiliary_head(s1)
        return self.classifier(self.global_pooling(s1).flatten(1)), auxiliary
