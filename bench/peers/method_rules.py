# SPDX-License-Identifier: MIT
"""Whole steps of search methods in plain PyTorch on a NAS-Bench-201 supernet, written from the
papers and the published programs: autograd where those use it, and the engine's numbers for every
draw. Here what all share, and the methods of soft or straight-through mixing weights."""

import copy
import math

import torch
from torch.nn import functional

import philox
from supernet_model import EDGES, MixedOp, Supernet, channel_shuffle

RUN, IDLE, GATE, FELT = "run", "idle", "gate", "felt"
ASCENT_STEPS = 7  # of SDARTS-ADV


class EdgeMix:
    """How one edge runs: `ways` one for each operation; RUN weighs its output, IDLE leaves it out,
    GATE adds its weight as a number, FELT weighs an output without a history. `whole` weighs the
    edge with all that bypasses the operations."""

    def __init__(self, weights, ways, whole=None):
        self.weights, self.ways, self.whole = weights, ways, whole


class WeighedOp(MixedOp):
    """A mixed edge that follows an EdgeMix."""

    def forward(self, x, mix):
        part = x.shape[1] // self.partial
        seen = x[:, :part]
        mixed = torch.zeros_like(seen)
        for weight, way, op in zip(mix.weights, mix.ways, self):
            if way == RUN:
                mixed = mixed + weight * op(seen)
            elif way == FELT:
                mixed = mixed + weight * op(seen.detach()).detach()
            elif way == GATE:
                mixed = mixed + weight
        if self.partial > 1:
            mixed = channel_shuffle(torch.cat([mixed, x[:, part:]], 1), self.partial, False)
        return mixed if mix.whole is None else mix.whole * mixed


def one_hot_mix(theta, rest):
    """Operations of weight one run, the others go the way `rest`."""
    chosen = theta.detach() != 0
    return [EdgeMix(row, [RUN if c else rest for c in one]) for row, one in zip(theta, chosen)]


def all_run(theta):
    return [EdgeMix(row, [RUN] * len(row)) for row in theta]


class Method:
    """What all methods share. `options`: see method_steps.OPTIONS."""

    edge_weights = False
    every = 1  # steps from one validation batch to the next; 0: none is used
    alpha_rate, beta1, l2, partial = 0.02, 0.5, 1e-3, 1

    def __init__(self, sizes, start, options, dtype):
        self.options = options
        self.net = Supernet(*sizes, mixed=WeighedOp).to(dtype)
        with torch.no_grad():
            for name, value in self.net.weights():
                value.copy_(torch.from_numpy(start["init." + name]))
        self.weights = [value for _, value in self.net.weights()]
        for value in self.weights:  # what never runs still decays
            value.grad = torch.zeros_like(value)
        # Mixing weights are float64 in the engine, whatever the network is.
        self.alpha = torch.from_numpy(start["trace.alpha0"]).double().requires_grad_()
        self.dtype = dtype
        self.sgd = torch.optim.SGD(
            self.weights,
            lr=options["learning_rate"],
            momentum=options["momentum"],
            weight_decay=options["weight_decay"],
            nesterov=bool(options["nesterov"]),
        )
        self.adam = torch.optim.Adam(
            [self.alpha],
            lr=options["alpha_rate"],
            betas=(options["beta1"], 0.999),
            weight_decay=options["l2"],
        )
        self.draws = 0  # passes that drew
        first, last = options["schedule_first"], options["schedule_last"]
        self.scheduled = first + (last - first) * options["epoch"] / options["epochs"]
        self.kept = {}

    def keep(self, name, value):
        self.kept[name] = value.detach().double().clone()

    def next_draw(self):
        self.draws += 1
        return self.draws - 1

    def gumbel(self, step):
        """-log(-log U), one for each entry of alpha."""
        count, seed = self.alpha.numel(), self.options["seed"]
        u = torch.from_numpy(philox.uniform(seed, step, philox.MIXING, range(count)))
        return -torch.log(-torch.log(u)).view_as(self.alpha)

    def sample(self, step):
        """One operation an edge from softmax(alpha)."""
        chosen = (self.alpha.detach() + self.gumbel(step)).argmax(1)
        return functional.one_hot(chosen, self.alpha.shape[1]).double()

    def loss(self, mixes, batch):
        images, target = batch
        cast = [EdgeMix(m.weights.to(self.dtype), m.ways, m.whole) for m in mixes]
        return functional.cross_entropy(self.net(images.to(self.dtype), cast), target)

    def clear(self):
        self.sgd.zero_grad(set_to_none=False)
        self.alpha.grad = None

    def move_weights(self):
        """Clipped by a norm that counts the gradient of alpha, as published, where there is one."""
        clipped = list(self.weights)
        if self.options["clip_with_alpha"] and self.alpha.grad is not None:
            clipped.append(self.alpha)
        norm = torch.nn.utils.clip_grad_norm_(clipped, self.options["clip"] or math.inf)
        self.keep("weight_norm", norm)
        self.sgd.step()

    def move_alpha(self):
        self.keep("grad_alpha", self.alpha.grad)
        self.adam.step()

    def learn_alpha(self, train, validation):
        del train
        self.clear()
        loss = self.loss(self.architecture_mix(), validation)
        loss.backward()
        self.keep("alpha_loss", loss)
        self.move_alpha()

    def learn_weights(self, train):
        self.clear()
        loss = self.loss(self.weight_mix(), train)
        loss.backward()
        self.keep("weight_loss", loss)
        self.move_weights()

    def architecture_mix(self):
        raise NotImplementedError

    def weight_mix(self):
        return self.architecture_mix()

    def finish(self, validation):
        """The end of an epoch; returns what is compared, by name."""
        del validation
        return {}

    def step(self, number, train, validation):
        """Returns what is compared, by name."""
        del number
        self.kept = {}
        if self.options["weights_first"]:
            self.learn_weights(train)
            self.learn_alpha(train, validation)
        else:
            self.learn_alpha(train, validation)
            self.learn_weights(train)
        return self.kept


class Darts(Method):
    """Liu et al., ICLR 2019."""

    def theta(self):
        return functional.softmax(self.alpha, -1)

    def architecture_mix(self):
        self.next_draw()
        return all_run(self.theta())


class SecondOrder(Darts):
    """Equations 6 to 8, as the published program takes them."""

    def unrolled(self, gradients):
        """A copy of the network one step of SGD ahead."""
        options, ahead = self.options, copy.deepcopy(self.net)
        with torch.no_grad():
            for value, moved, gradient in zip(
                self.weights, [v for _, v in ahead.weights()], gradients
            ):
                buffer = self.sgd.state[value].get("momentum_buffer")
                momentum = 0 if buffer is None else options["momentum"] * buffer
                decayed = gradient + options["weight_decay"] * value
                moved.sub_(options["learning_rate"] * (momentum + decayed))
        return ahead

    def alpha_gradient_beside(self, vector, radius, train):
        """Of the training loss at w + radius * vector."""
        with torch.no_grad():
            saved = [value.clone() for value in self.weights]
            for value, direction in zip(self.weights, vector):
                value.add_(direction, alpha=radius)
        loss = self.loss(self.architecture_mix(), train)
        (gradient,) = torch.autograd.grad(loss, [self.alpha])
        with torch.no_grad():
            for value, old in zip(self.weights, saved):
                value.copy_(old)
        return gradient

    def learn_alpha(self, train, validation):
        self.clear()
        loss = self.loss(self.architecture_mix(), train)
        ahead = self.unrolled(torch.autograd.grad(loss, self.weights))
        own, self.net = self.net, ahead
        loss = self.loss(self.architecture_mix(), validation)
        self.keep("alpha_loss", loss)
        wanted = [self.alpha] + [value for _, value in ahead.weights()]
        first, *vector = torch.autograd.grad(loss, wanted)
        self.net = own
        radius = 0.01 / torch.cat([v.flatten() for v in vector]).norm().item()
        above = self.alpha_gradient_beside(vector, radius, train)
        below = self.alpha_gradient_beside(vector, -radius, train)
        self.alpha.grad = first - self.options["learning_rate"] * (above - below) / (2 * radius)
        self.move_alpha()


class PcDarts(Method):
    """Xu et al., ICLR 2020: the last column of alpha weighs whole edges among those of a node."""

    edge_weights, partial = True, 2

    def shares(self):
        edges = torch.cat(
            [functional.softmax(self.alpha[into, -1], 0) for into in edges_of_nodes()]
        )
        return functional.softmax(self.alpha[:, :-1], -1), edges

    def architecture_mix(self):
        self.next_draw()
        operations, edges = self.shares()
        return [
            EdgeMix(row, [RUN] * len(row), whole) for row, whole in zip(operations, edges)
        ]


def edges_of_nodes():
    """Rows of the edges into each node."""
    nodes = sorted({to for to, _ in EDGES})
    return [[row for row, (to, _) in enumerate(EDGES) if to == node] for node in nodes]


class Perturbed(Darts):
    """SDARTS (Chen and Hsieh, ICML 2020): in a step of the weights alpha stands for the mixing
    weights themselves, and its gradient in the clipped norm is theirs."""

    def noise(self, step):
        count, radius = self.alpha.numel(), self.scheduled
        u = philox.uniform(self.options["seed"], step, philox.PERTURBATION, range(count))
        return torch.from_numpy(radius * (2 * u - 1)).view_as(self.alpha)

    @staticmethod
    def on_simplex(rows):
        clipped = rows.clamp(0, 1)
        for row, was in zip(clipped, rows):
            if row.sum() == 0:
                row[was.argmax()] = 1
        return clipped / clipped.sum(1, keepdim=True)

    def perturbed(self, train):
        raise NotImplementedError

    def learn_weights(self, train):
        theta = self.perturbed(train).requires_grad_()
        self.clear()
        loss = self.loss(all_run(theta), train)
        loss.backward()
        self.alpha.grad = theta.grad
        self.keep("weight_loss", loss)
        self.move_weights()


class SdartsRs(Perturbed):
    def perturbed(self, train):
        return self.on_simplex(self.theta().detach() + self.noise(self.next_draw()))


class SdartsAdv(Perturbed):
    def perturbed(self, train):
        start = self.theta().detach()
        self.net.eval()
        with torch.no_grad():
            before = self.loss(all_run(start), train)
        self.next_draw()
        theta = self.on_simplex(start + self.noise(self.draws))
        for _ in range(ASCENT_STEPS):
            self.next_draw()
            theta.requires_grad_()
            (gradient,) = torch.autograd.grad(self.loss(all_run(theta), train), [theta])
            moved = theta.detach() + 2 * self.scheduled / ASCENT_STEPS * gradient.sign()
            theta = start + (moved - start).clamp(-self.scheduled, self.scheduled)
            theta = self.on_simplex(theta)
        with torch.no_grad():
            after = self.loss(all_run(theta), train)
        self.next_draw()
        self.net.train()
        self.next_draw()  # of the step itself
        return start if before > after else theta


class Snas(Method):
    """Xie et al., ICLR 2019: soft draws."""

    def soft(self):
        return functional.softmax((self.alpha + self.gumbel(self.next_draw())) / self.scheduled, -1)

    def architecture_mix(self):
        return all_run(self.soft())


class Gdas(Snas):
    """Dong and Yang, CVPR 2019: one operation runs, straight through; what does not run is added
    as a number."""

    rest = GATE

    def architecture_mix(self):
        soft = self.soft()
        hard = functional.one_hot(soft.argmax(1), soft.shape[1]).double()
        theta = hard - soft.detach() + soft
        ways = one_hot_mix(hard, self.rest)
        return [EdgeMix(row, mix.ways) for row, mix in zip(theta, ways)]


class GdasV1(Gdas):
    rest = IDLE
