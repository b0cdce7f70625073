"""Where the points of the interior are, and how badly the equations are satisfied there and elsewhere."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Diagnostic, Objective
from pinn_cli.methods.diagnostics import refuse_below_one
from pinn_cli.methods.diagnostics.ntk_spectrum import some_of
from pinn_cli.methods.proxies import in_interior, sizes, slopes
from pinn_cli.physics.domains.base import lattice
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references import Reference, reference_of


class Points(Diagnostic):
    """The points of the interior, and on a lattice of about `nodes` nodes the proxies by which samplers draw them.

        |r| = (sum_k w_k r_k^2)^(1/2)        slope = |d|r|^2/dx| + |d|r|^2/dy| + ...

    The sum is over the equations that share the points, and w_k is the mean weight in force relative to the largest of
    them: |r| is the size of the residual itself for one equation (Subramanian et al. 2022, arXiv:2207.04084). The
    error of the network is recorded too where a reference is known everywhere. Of more than `points` points it keeps a
    random choice. With `draws`, there are also records at steps with new points. `most` is that of a diagnostic.

    Record, by coordinate x, by first constraint c on the points, by field u: `points/c/x` (N,); `lattice/x` (M,);
    `residual/c`, `slope/c`, `error/u` (M,) in single precision; NaN at nodes outside the domain.
    """

    datasets = {
        "points/<constraint>/<coordinate>": "training points of this constraint and those that share them, or some",
        "lattice/<coordinate>": "nodes of the lattice",
        "residual/<constraint>": "size of the residual there, of all equations that share these points",
        "slope/<constraint>": "sum of the absolute derivatives of its square by the coordinates there",
        "error/<field>": "absolute error of this field there, against the reference",
    }

    def __init__(
        self, every: int = 100, draws: bool = True, most: int = 50, points: int = 1000, nodes: int = 4225
    ) -> None:
        refuse_below_one("points", every=every, most=most, points=points, nodes=nodes)
        self.every, self.after_draws, self.most, self.points, self.nodes = every, draws, most, points, nodes
        self._compared: tuple[Problem | None, Reference | None] = (None, None)  # a problem and its reference

    def __call__(self, objective: Objective) -> dict[str, Tensor | float]:
        domain = objective.problem.domain
        nodes = lattice(domain.extents, max(2, round(self.nodes ** (1 / domain.dimension))))
        X = nodes.to(objective.device, objective.dtype)
        inside = domain.contains(X)
        weights = objective.weights
        record: dict[str, Tensor | float] = {f"lattice/{c}": nodes[:, i] for i, c in enumerate(domain.coordinates)}
        for names in in_interior(objective.batch, objective):
            objective.base = objective.base | relative({name: weights[name] for name in names})
            kept = objective.batch[names[0]]
            kept = kept[some_of(len(kept), self.points, kept.device)]
            record |= {f"points/{names[0]}/{c}": kept[:, i] for i, c in enumerate(domain.coordinates)}
            for proxy, values in (("residual", sizes), ("slope", slopes)):
                record[f"{proxy}/{names[0]}"] = values(objective, names, X).where(inside, torch.nan).float()
        known = errors(objective, self._reference(objective.problem), X)
        return record | {f"error/{name}": e.where(inside, torch.nan).float() for name, e in known.items()}

    def _reference(self, problem: Problem) -> Reference | None:
        """The reference of the problem of this stage; computed once, as its values at the nodes are."""
        if self._compared[0] is not problem:
            self._compared = (problem, reference_of(problem))
        return self._compared[1]


def relative(weights: Mapping[str, float | Tensor]) -> dict[str, float]:
    """The mean weights by constraint over the largest of them; 1 where all are zero."""
    means = {name: float(w.mean() if isinstance(w, Tensor) else w) for name, w in weights.items()}
    largest = max(means.values())
    return {name: w / largest if largest else 1.0 for name, w in means.items()}


def errors(objective: Objective, reference: Reference | None, X: Tensor) -> dict[str, Tensor]:
    """|u - reference| (N,) at X (N, D), by field or observable; {} if a reference is not known everywhere."""
    if reference is None or reference.at is not None:
        return {}
    truth, found = reference(X.cpu().double()), objective.evaluate(list(reference.fields), X)
    return {name: (found[name] - truth[name].to(X)).abs() for name in reference.fields}
