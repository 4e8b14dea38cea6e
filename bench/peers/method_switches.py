# SPDX-License-Identifier: MIT
"""Whole steps of BayesNAS (Zhou et al., ICML 2019), as docs/methods.md states them. See
method_rules.py."""

import torch

from method_rules import RUN, EdgeMix, Method

STEP = 0.05  # of the differences that curvature is measured by
LEAST = 1e-2  # curvature, in units of lambda


class BayesNas(Method):
    """Alpha are switches: one for each operation and, in the last column, for each edge."""

    edge_weights, partial = True, 2
    every, alpha_rate, l2 = 2, 0.1, 0.0  # the validation batch of the first step is the only one

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.gamma, self.omega = torch.ones_like(self.alpha), torch.ones_like(self.alpha)

    @staticmethod
    def mixes(switches):
        """What an edge's switch multiplies is the edge with all that bypasses its operations."""
        return [EdgeMix(row[:-1], [RUN] * (len(row) - 1), row[-1]) for row in switches]

    def step(self, number, train, validation):
        del number, validation
        self.kept = {}
        self.next_draw()
        self.clear()
        loss = self.loss(self.mixes(self.alpha), train)
        loss.backward()
        self.keep("weight_loss", loss)
        self.keep("grad_alpha", self.alpha.grad)
        self.move_weights()
        rate = self.options["alpha_rate"]
        with torch.no_grad():
            moved = self.alpha - rate * self.gradient_before_clip
            limit = rate * self.options["penalty"] * self.omega
            self.alpha.copy_(torch.nn.functional.softshrink(moved / limit, 1.0) * limit)
        return self.kept

    def move_weights(self):
        """Clipping by a norm that counts the switches scales their gradient too: not here."""
        self.gradient_before_clip = self.alpha.grad.clone()
        super().move_weights()

    def gradient(self, switches, batch):
        """By the batch's statistics; the running ones stay."""
        leaf = switches.clone().requires_grad_()
        saved = [buffer.clone() for buffer in self.net.buffers()]
        (gradient,) = torch.autograd.grad(self.loss(self.mixes(leaf), batch), [leaf])
        with torch.no_grad():
            for buffer, old in zip(self.net.buffers(), saved):
                buffer.copy_(old)
        return gradient

    def finish(self, batch):
        """The end of an epoch: curvature, then the Laplace step."""
        switches = self.alpha.detach()
        curvature = torch.zeros_like(switches)
        for index in range(switches.numel()):
            moved = torch.zeros_like(switches)
            moved.view(-1)[index] = STEP
            above, below = (self.gradient(switches + sign * moved, batch) for sign in (1, -1))
            curvature.view(-1)[index] = (above - below).view(-1)[index] / (2 * STEP)
        inverse = 1 / self.gamma
        h = (curvature / self.options["penalty"]).clamp(min=LEAST)
        posterior = 1 / (inverse + h)
        omega = (inverse - posterior * inverse**2).abs().sqrt()
        gamma = torch.where(curvature == 0, torch.zeros_like(omega), switches.abs() / omega)
        joined = 1 / (1 / gamma[:, :-1] + 1 / gamma[:, -1:])
        return {"curvature": curvature, "omega": omega, "gamma": joined}
