# SPDX-License-Identifier: MIT
"""The NAS-Bench-201 search supernet of DrNAS in plain PyTorch, with its two training steps.

It does the work that the published program does, no more and no less: every candidate operation
is a module of its own, and its output is scaled by a scalar mixing weight and added with `sum`.
Parameter names are the published ones, so weights can be exchanged by name.
"""

import torch
from torch import nn
from torch.nn import functional
from torch.distributions import Dirichlet

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 4
EDGES = tuple((j, i) for j in range(1, NODES) for i in range(j))  # (to, from)
EDGE_NAMES = tuple(f"{j}<-{i}" for j, i in EDGES)


class Zero(nn.Module):
    def forward(self, x):
        return x.mul(0.0)


class ReluConvBn(nn.Module):
    def __init__(self, c_in, c_out, kernel, stride, affine):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(inplace=False),
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(c_out, affine=affine),
        )

    def forward(self, x):
        return self.op(x)


def make_op(name, channels):
    """A candidate operation of the space; its BN has no parameters of its own."""
    if name == "none":
        return Zero()
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return ReluConvBn(channels, channels, 1 if name == "nor_conv_1x1" else 3, 1, affine=False)


def channel_shuffle(x, groups, channels_last):
    """Output channel position * groups + group; keeps the layout of x."""
    batch, channels, height, width = x.shape
    if channels_last:
        pixels = x.permute(0, 2, 3, 1).view(batch, height, width, groups, channels // groups)
        shuffled = pixels.transpose(3, 4).reshape(batch, height, width, channels)
        return shuffled.permute(0, 3, 1, 2)
    grouped = x.view(batch, groups, channels // groups, height, width)
    return grouped.transpose(1, 2).contiguous().view(batch, channels, height, width)


class MixedOp(nn.ModuleList):
    """sum_o w_o op_o(x) on the first 1/K of the channels; the others pass by unscaled."""

    def __init__(self, channels, partial, channels_last):
        super().__init__([make_op(name, channels // partial) for name in OPS])
        self.partial = partial
        self.channels_last = channels_last

    def forward(self, x, weights):
        part = x.shape[1] // self.partial
        active = x if self.partial == 1 else x[:, :part]
        mixed = sum(w * op(active) for w, op in zip(weights, self) if not w == 0)
        if self.partial == 1:
            return mixed
        joined = torch.cat([mixed, x[:, part:]], dim=1)
        return channel_shuffle(joined, self.partial, self.channels_last)


class SearchCell(nn.Module):
    def __init__(self, channels, partial, channels_last, mixed=MixedOp):
        super().__init__()
        self.edges = nn.ModuleDict(
            {name: mixed(channels, partial, channels_last) for name in EDGE_NAMES}
        )

    def forward(self, x, theta):
        nodes = [x]
        edge = 0
        for j in range(1, NODES):
            terms = []
            for i in range(j):
                terms.append(self.edges[EDGE_NAMES[edge]](nodes[i], theta[edge]))
                edge += 1
            nodes.append(sum(terms))
        return nodes[-1]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside average pool and 1x1; halves the side, changes the width."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv_a = ReluConvBn(c_in, c_out, 3, 2, affine=True)
        self.conv_b = ReluConvBn(c_out, c_out, 3, 1, affine=True)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, stride=2), nn.Conv2d(c_in, c_out, 1, bias=False)
        )

    def forward(self, x, theta):
        del theta  # it has no choice of operation
        return self.downsample(x) + self.conv_b(self.conv_a(x))


class SearchNetwork(nn.Module):
    """A supernet with alpha [edges, ops] as a parameter; one theta a pass serves all its cells."""

    def weights(self):
        """All parameters but alpha, as (name, parameter) pairs."""
        return [(name, value) for name, value in self.named_parameters() if name != "alpha"]

    def concentration(self):
        return functional.elu(self.alpha) + 1

    def draw(self):
        """One theta [edges, ops], a pathwise Dirichlet sample on each edge."""
        return Dirichlet(self.concentration()).rsample()


class Supernet(SearchNetwork):
    """Stem, N cells, block, N cells, block, N cells, head. `mixed` makes the mixed edges."""

    def __init__(
        self, channels, cells, partial, classes=10, channels_last=False, mixed=MixedOp
    ):
        super().__init__()
        if channels % partial:
            raise ValueError(f"--partial-channels {partial}: must divide --channels {channels}")
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        layers, width = [], channels
        for stage in range(3):
            if stage > 0:
                layers.append(ResidualBlock(width, 2 * width))
                width *= 2
            layers += [SearchCell(width, partial, channels_last, mixed) for _ in range(cells)]
        self.cells = nn.ModuleList(layers)
        self.lastact = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, classes)
        self.alpha = nn.Parameter(1e-3 * torch.randn(len(EDGES), len(OPS)))

    def forward(self, x, theta=None):
        """Logits [B, classes]; one theta, drawn here unless given, serves all cells."""
        theta = self.draw() if theta is None else theta
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x, theta)
        x = self.global_pooling(self.lastact(x))
        return self.classifier(x.view(x.size(0), -1))


def no_lap(phase):
    """Takes the end of a phase of a step; here nobody wants it."""
    del phase


class Search:
    """Both optimisers with the published settings: those of NAS-Bench-201 by default."""

    def __init__(self, model, clip=5.0, learning_rate=0.025, alpha_rate=3e-4, clip_with_alpha=True):
        self.model = model
        self.clip = clip
        self.weights = [value for _, value in model.weights()]
        self.clipped = list(model.parameters()) if clip_with_alpha else self.weights
        self.weight_optimizer = torch.optim.SGD(
            self.weights, lr=learning_rate, momentum=0.9, weight_decay=3e-4
        )
        self.alpha_optimizer = torch.optim.Adam(
            [model.alpha], lr=alpha_rate, betas=(0.5, 0.999), weight_decay=1e-3
        )

    def architecture_step(self, images, target, lap=no_lap):
        """Adam on alpha; autograd fills the weights' gradients too, and nobody reads them."""
        self.alpha_optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(images), target)
        lap("forward")
        loss.backward()
        lap("backward")
        self.alpha_optimizer.step()
        lap("optimizer")
        return loss

    def weight_step(self, images, target, lap=no_lap):
        """SGD on the weights; the published code clips by a norm that counts alpha's gradient too
        in NAS-Bench-201 and does not in the DARTS space."""
        self.weight_optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(images), target)
        lap("forward")
        loss.backward()
        lap("backward")
        nn.utils.clip_grad_norm_(self.clipped, self.clip)
        self.weight_optimizer.step()
        lap("optimizer")
        return loss
