"""Learning-rate annealing (Wang, Teng and Perdikaris, arXiv:2001.04536; SIAM J. Sci. Comput. 43, 2021).

The loss is L_r + sum_i lambda_i L_i with L_r the interior residual, and every `every` steps, before the optimizer's,

    lambda_i <- (1 - alpha) lambda_i + alpha ratio(grad L_r, c_i grad L_i)        lambda_i = 1 at the start

    ratio  `pooled`           max |grad L_r| over all entries / mean |c_i grad L_i| over all entries
           `layer_mean`       the same maximum / mean over the layers of the layer's mean |c_i grad L_i|
           `layer_max_ratio`  the largest of the layers' own max |grad L_r| / mean |c_i grad L_i|
    c_i    `unweighted`       1: the fixed point is M/m, approached by the factor 1 - alpha per update
           `weighted`         lambda_i: the fixed point is sqrt(M/m), approached by 1 - 2 alpha

(M, m: maximum and mean of frozen gradients). The text of the paper is `pooled`, `unweighted`, alpha 0.9, all
parameters. The authors' code is `layer_mean` or, for the cavity, `layer_max_ratio`, with `weighted`, alpha 0.1, weight
matrices only. That code updates after the optimizer's step, from the new parameters and the old points; this order is
not implemented.

`unweighted` keeps the mean of |lambda_i grad L_i| at M, whatever L_i is: the smaller the loss of a condition, the
larger its lambda. On Helmholtz, where the zero function satisfies the boundary condition, plain and gated networks end
at zero (lambda 5e7, error 1.0). With `weighted`, lambda stays near the 50 to 350 that the paper shows, and the error
of the plain network near the 1.1e-2 of the paper (9.3e-3 by `layer_mean`, 1.9e-2 by `pooled`; one seed each).
"""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Batch, Objective, Weighting, Weights
from pinn_cli.physics.problem import Problem

Blocks = list[Tensor]  # absolute values of a gradient, one tensor per layer


def pooled(reference: Blocks, term: Blocks) -> float:
    """The maximum over all entries of the reference / the mean over all entries of the term."""
    return float(torch.cat(reference).max() / torch.cat(term).mean())


def layer_mean(reference: Blocks, term: Blocks) -> float:
    """As `pooled`, with each layer counted equally in the mean, whatever its size."""
    return float(torch.cat(reference).max() / torch.stack([t.mean() for t in term]).mean())


def layer_max_ratio(reference: Blocks, term: Blocks) -> float:
    """The largest ratio of maximum to mean of any layer."""
    return float(torch.stack([r.max() / t.mean() for r, t in zip(reference, term, strict=True)]).max())


STATISTICS = {"pooled": pooled, "layer_mean": layer_mean, "layer_max_ratio": layer_max_ratio}
DENOMINATORS = ("unweighted", "weighted")
# By the names of `model.named_parameters()`; the trained coefficients of an inverse problem are no part of the network.
PARAMETERS = {"all": r"^(?!unknowns\.)", "dense_weights": r"(^|\.)layers\.\d+\.weight$"}


class LRAnnealing(Weighting):
    """One lambda for every constraint outside the interior, or one for each of the `groups` of them.

    groups      {"walls": ["left", "right"], "start": ["initial", "velocity"]}: L_i is the sum of their losses
    reference   the constraints that make up L_r, of weight 1: all of the region `interior` unless named
    parameters  `all` of the network, one layer per tensor; `dense_weights`: matrices of the main stack `layers`, no
                biases and no encoders

    Losses include their base weight: L_i = base_i mean r_i^2. A ratio that is not finite (a zero denominator) leaves
    its lambda unchanged. Raises UsageError for an unknown option or name.
    """

    first_order = True
    of_residuals = False

    def __init__(
        self,
        statistic: str = "pooled",
        denominator: str = "weighted",
        alpha: float = 0.1,
        every: int = 10,
        parameters: str = "all",
        groups: Mapping[str, Sequence[str]] | None = None,
        reference: Sequence[str] = (),
    ) -> None:
        _among("statistic", statistic, STATISTICS)
        _among("denominator", denominator, DENOMINATORS)
        _among("parameters", parameters, PARAMETERS)
        if not 0 < alpha <= 1 or every < 1:
            raise UsageError(f"lr_annealing: found alpha={alpha}, every={every}; expected 0 < alpha <= 1, every >= 1")
        self.statistic, self.weighted = STATISTICS[statistic], denominator == "weighted"
        self.alpha, self.every, self.parameters = alpha, every, parameters
        self.groups = {group: list(names) for group, names in (groups or {}).items()}
        self.reference = list(reference)
        self.lambdas: dict[str, float] = {}

    def __call__(self, batch: Batch, residuals: Batch) -> Weights:
        """lambda by constraint; the constraints of the reference have none."""
        of = {name: group for group, names in self.groups.items() for name in names}
        return {n: self.lambdas[of.get(n, n)] for n in batch if of.get(n, n) in self.lambdas}

    def begin_stage(self, problem: Problem) -> None:
        """Check the names. Constraints that keep their name keep their lambda. Raises UsageError for unknown names."""
        known = [c.name for c in problem.constraints()]
        named = [name for names in self.groups.values() for name in names]
        for name in [*named, *self.reference]:
            _among("constraint", name, known)
        twice = [name for name in named if named.count(name) > 1 or name in self.reference]
        if twice:
            raise UsageError(f"lr_annealing: {twice[0]!r} is named twice; expected each constraint in one group, "
                             "or in reference")

    def update(self, step: int, objective: Objective) -> None:
        """Compute new lambdas from the gradients at the current points, if due."""
        if step % self.every:
            return
        gradients = {name: objective.base[name] * g for name, g in objective.gradients().items()}
        reference = self.reference or [n for n in gradients if objective.constraints[n].region == "interior"]
        if not reference:
            raise UsageError("lr_annealing: no constraint in the interior to compare with; type weighting.lr_annealing."
                             f"reference=[{next(iter(gradients))}]")
        layers = self._layers(objective.layout)
        scale = _blocks([gradients[n] for n in reference], layers)
        for group, names in self._members(gradients, reference).items():
            self._renew(group, scale, _blocks([gradients[n] for n in names], layers))

    def _renew(self, group: str, reference: Blocks, term: Blocks) -> None:
        old = self.lambdas.setdefault(group, 1.0)
        new = self.statistic(reference, [old * t for t in term] if self.weighted else term)
        if isfinite(new):
            self.lambdas[group] = (1 - self.alpha) * old + self.alpha * new

    def _members(self, present: Mapping[str, Tensor], reference: Sequence[str]) -> dict[str, list[str]]:
        """The constraints of each group; each other constraint is its own group. Those imposed exactly are absent."""
        groups = {group: [n for n in names if n in present] for group, names in self.groups.items()}
        grouped = {name for names in groups.values() for name in names}
        alone = {n: [n] for n in present if n not in grouped and n not in reference}
        return {group: names for group, names in (groups | alone).items() if names}

    def _layers(self, layout: Mapping[str, slice]) -> list[slice]:
        layers = [where for name, where in layout.items() if re.search(PARAMETERS[self.parameters], name)]
        if not layers:
            raise UsageError(f"lr_annealing: parameters={self.parameters} found none in this network; "
                             "type weighting.lr_annealing.parameters=all")
        return layers

    def unchanged(self, step: int) -> float:
        return self.every - step % self.every

    def state_dict(self) -> dict[str, Any]:
        return {"lambdas": dict(self.lambdas)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.lambdas = dict(state["lambdas"])


def _blocks(gradients: list[Tensor], layers: list[slice]) -> Blocks:
    """|sum of the gradients (P,)|, layer by layer."""
    total = torch.stack(gradients).sum(0).abs()
    return [total[layer] for layer in layers]


def _among(what: str, name: str, known: Sequence[str] | Mapping[str, Any]) -> None:
    if name not in known:
        raise UsageError(f"lr_annealing: unknown {what} {name!r}: expected one of {', '.join(known)}")
