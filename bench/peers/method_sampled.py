# SPDX-License-Identifier: MIT
"""Whole steps of the methods whose gradients are no plain backward pass: those that sample
operations or cells, and those whose alpha lies on the simplex. See method_rules.py."""

import torch
from torch.nn import functional

import philox
from method_rules import FELT, IDLE, RUN, EdgeMix, Method, all_run, edges_of_nodes, one_hot_mix

CELLS = 4  # of PARSEC, a step
LEAST_WEIGHT = 1e-5  # of GAEA


class Dsnas(Method):
    """Hu et al., CVPR 2020: one pass for both, alpha by the score function with the credit
    dL/dtheta of the chosen operation."""

    every = 0

    def step(self, number, train, validation):
        del number, validation
        self.kept = {}
        theta = self.sample(self.next_draw()).requires_grad_()
        self.clear()
        loss = self.loss(one_hot_mix(theta, IDLE), train)
        loss.backward()
        credit = (theta.grad * theta.detach()).sum(1)
        score = (functional.log_softmax(self.alpha, -1) * theta.detach()).sum(1)
        (credit * score).sum().backward()
        self.keep("weight_loss", loss)
        self.move_alpha()
        self.move_weights()
        return self.kept


class Proxyless(Method):
    """Cai et al., ICLR 2019: alpha every fifth step from the derivatives of all gates."""

    every, beta1, l2 = 5, 0.0, 0.0

    def gates(self):
        """Mixes, their leaf, and the operations whose gates are taken."""
        theta = self.sample(self.next_draw()).requires_grad_()
        return one_hot_mix(theta, FELT), theta, torch.ones_like(theta, dtype=torch.bool)

    def learn_alpha(self, train, validation):
        self.clear()
        mixes, theta, taken = self.gates()
        loss = self.loss(mixes, validation)
        (of_gates,) = torch.autograd.grad(loss, [theta])
        probability = functional.softmax(self.alpha.masked_fill(~taken, -torch.inf), -1)
        (probability * of_gates).sum().backward()
        self.keep("alpha_loss", loss)
        before = self.alpha.detach().clone()
        self.move_alpha()
        self.after_alpha(taken, before)

    def after_alpha(self, taken, before):
        pass

    def weight_mix(self):
        return one_hot_mix(self.sample(self.next_draw()), IDLE)

    def step(self, number, train, validation):
        self.kept = {}
        if number % self.every == 0:
            self.learn_alpha(train, validation)
        self.learn_weights(train)
        return self.kept


class ProxylessTwo(Proxyless):
    """Two operations an edge are drawn without repetition, one of them passes."""

    def gates(self):
        step, (edges, ops) = self.next_draw(), self.alpha.shape
        pair = (self.alpha.detach() + self.gumbel(step)).topk(2, 1).indices
        first = functional.softmax(self.alpha.detach().gather(1, pair), -1)[:, 0]
        row_starts = [edge * ops for edge in range(edges)]
        u = philox.uniform(self.options["seed"], step, philox.MIXING, row_starts, attempt=1)
        passing = torch.where(torch.from_numpy(u) < first, pair[:, 0], pair[:, 1])
        theta = functional.one_hot(passing, ops).double().requires_grad_()
        taken = functional.one_hot(pair, ops).sum(1).bool()
        mixes = one_hot_mix(theta, IDLE)
        for edge, mix in enumerate(mixes):
            for op in pair[edge].tolist():
                if mix.ways[op] == IDLE:
                    mix.ways[op] = FELT
        return mixes, theta, taken

    def after_alpha(self, taken, before):
        """The pair keeps its share of the probability."""
        with torch.no_grad():
            now, then = (
                torch.logsumexp(a.masked_fill(~taken, -torch.inf), 1, keepdim=True)
                for a in (self.alpha, before)
            )
            self.alpha.sub_(torch.where(taken, now - then, 0.0))


class Setn(Method):
    """Dong and Yang, ICCV 2019: alpha by the mixture of all operations, weights by one sampled
    cell."""

    def architecture_mix(self):
        self.next_draw()
        return all_run(functional.softmax(self.alpha, -1))

    def weight_mix(self):
        return one_hot_mix(self.sample(self.next_draw()), IDLE)


class Gaea(Method):
    """Li et al., ICLR 2021: alpha is theta and moves by exponentiated gradients."""

    simplex, alpha_rate, l2 = True, 0.1, 0.0

    def sets(self):
        """Views of alpha's data that each sum to one."""
        return list(self.alpha.data)

    def move_alpha(self):
        self.keep("grad_alpha", self.alpha.grad)
        self.alpha.data.mul_(torch.exp(-self.options["alpha_rate"] * self.alpha.grad))
        for one in self.sets():
            lifted = one.clamp(min=LEAST_WEIGHT)
            one.copy_(lifted / lifted.sum())


class GaeaBilevel(Gaea):
    def architecture_mix(self):
        self.next_draw()
        return all_run(self.alpha)


class GaeaJoint(GaeaBilevel):
    every = 0

    def step(self, number, train, validation):
        del number, validation
        self.kept = {}
        self.clear()
        loss = self.loss(self.architecture_mix(), train)
        loss.backward()
        self.keep("weight_loss", loss)
        self.move_alpha()
        self.move_weights()
        return self.kept


class GaeaPcDarts(GaeaBilevel):
    """The same on the weights of operations and on those of a node's edges."""

    edge_weights, partial = True, 2

    def sets(self):
        of_nodes = [self.alpha.data[into[0] : into[-1] + 1, -1] for into in edges_of_nodes()]
        return [row[:-1] for row in self.alpha.data] + of_nodes

    def architecture_mix(self):
        self.next_draw()
        return [EdgeMix(row[:-1], [RUN] * (len(row) - 1), row[-1]) for row in self.alpha]


class Parsec(Method):
    """Casale et al., 2019: cells are drawn from softmax(alpha) and weighed by their likelihood on
    a validation batch."""

    l2 = 0.0

    def log_likelihood(self, mixes, batch):
        """By the batch's statistics; the running ones stay."""
        saved = [buffer.clone() for buffer in self.net.buffers()]
        with torch.no_grad():
            value = -self.loss(mixes, batch) * len(batch[1])
            for buffer, old in zip(self.net.buffers(), saved):
                buffer.copy_(old)
        return value

    def step(self, number, train, validation):
        del number
        self.kept = {}
        cells = [self.sample(self.next_draw()) for _ in range(CELLS)]
        scores = [self.log_likelihood(one_hot_mix(cell, IDLE), validation) for cell in cells]
        shares = functional.softmax(torch.stack(scores).double(), 0)
        self.clear()
        losses = torch.stack([self.loss(one_hot_mix(cell, IDLE), train) for cell in cells])
        loss = (shares.to(losses.dtype) * losses).sum()
        loss.backward()
        self.keep("weight_loss", loss)
        self.move_weights()
        log_p = functional.log_softmax(self.alpha, -1)
        self.alpha.grad = None
        (-sum(share * (log_p * cell).sum() for share, cell in zip(shares, cells))).backward()
        self.move_alpha()
        return self.kept
