"""The hinge between physics and optimisation.

F(theta) stacks every residual, scaled so that the loss is |F|^2:

    F_i = sqrt(w_i / N_i) r_i(theta)        loss = sum_k mean(w_k r_k^2)        w = base weight x weighting, detached

First-order methods use `loss`, least-squares methods `vector` and `linearise`, weightings and samplers the residuals.
All see the same points and the same weights, which stay as they are from one `begin` to the next.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch._functorch.config
from torch import Tensor, nn

from pinn_cli.derivatives import Tape
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.physics.symbols import Place, Symbol
from pinn_cli.physics.terms import rms, terms_of
from pinn_cli.training import jacobian
from pinn_cli.training.jacobian import Linearisation

Batch = dict[str, Tensor]
Engine = type[Taylor] | type[Autograd]


class Objective:
    """The residuals of a problem as functions of the parameters of a model, at the points of the current step.

    `weights` are the base weights by constraint (1 where none is given). With `compiled` the residuals of a step are
    one compiled graph.
    """

    def __init__(
        self,
        problem: Any,
        model: nn.Module,
        engine: Engine,
        weighting: Callable[[Batch, Batch], Mapping[str, float | Tensor]],
        weights: Mapping[str, float] | None = None,
        compiled: bool = False,
    ):
        self.problem, self.model, self.engine, self.weighting = problem, model, engine, weighting
        imposed = getattr(model, "imposed", ())
        self.constraints = {c.name: c for c in problem.constraints() if c.name not in imposed}
        self.base = {name: float((weights or {}).get(name, 1.0)) for name in self.constraints}
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.columns = jacobian.columns_of(self.parameters)
        self.batch: Batch = {}
        self.points_changed = True
        self.compiled = compiled
        self.latest: Batch = {}  # residuals of the last loss or vector, detached
        self._weights: dict[str, float | Tensor] | None = None
        self._engines: dict[tuple[str, ...], Taylor | Autograd] = {}
        self._graphs: dict[tuple[tuple[str, ...], ...], Callable] = {}
        self._slow: dict[str, list[int]] = {}

    @property
    def device(self) -> torch.device:
        return self.parameters[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.parameters[0].dtype

    @property
    def layout(self) -> dict[str, slice]:
        """The place of each trained parameter in the flat vector (P,)."""
        return dict(zip(self.names, self.columns, strict=True))

    def begin(self, batch: Batch) -> None:
        """Start a step: its points, and weights that then stay fixed until the next one."""
        self.points_changed = batch.keys() != self.batch.keys() or any(batch[n] is not self.batch[n] for n in batch)
        self.batch, self._weights = batch, None

    def resume(self, batch: Batch) -> None:
        """Be as after the last step of an earlier life: its points, and the residuals there."""
        self.batch = batch
        with torch.no_grad():
            self.latest = self.residuals()

    # --- residuals ------------------------------------------------------------------------------------------------

    def residual(self, name: str, X: Tensor) -> Tensor:
        """r (N,) of one constraint at any points X of its region."""
        return self._evaluate((name,), X)[name]

    def residuals(self) -> dict[str, Tensor]:
        """r (N,) of every constraint at the points of this step, by name."""
        return self._pass()[0]

    def _pass(self) -> tuple[Batch, Batch]:
        """r (N,) and mean r^2 by name: one pass, and one graph where steps are compiled."""
        groups = self._groups()
        graph = self._graphs.get(groups)
        if graph is None:
            graph = self._graph(groups)
            graph = _compile(graph) if self.compiled else graph
            self._graphs[groups] = graph
        out, means = graph([self.batch[names[0]] for names in groups])
        return {name: out[name] for name in self.constraints if name in out}, means

    def _groups(self) -> tuple[tuple[str, ...], ...]:
        """Constraints that share their points share one pass through the network."""
        groups: dict[Any, list[str]] = {}
        for name, X in self.batch.items():
            c = self.constraints[name]
            groups.setdefault((id(X), c.region, name if c.against else None), []).append(name)
        return tuple(map(tuple, groups.values()))

    def _graph(self, groups: tuple[tuple[str, ...], ...]) -> Callable[[list[Tensor]], tuple[Batch, Batch]]:
        for names in groups:
            self._plan(names)

        def graph(points: list[Tensor]) -> tuple[Batch, Batch]:
            out: Batch = {}
            for names, X in zip(groups, points, strict=True):
                out |= self._evaluate(names, X)
            return out, {name: r.square().mean() for name, r in out.items()}

        return graph

    def _plan(self, names: tuple[str, ...]) -> Taylor | Autograd:
        if names not in self._engines:
            zero = (0,) * len(self.problem.coordinates)
            symbols = [s for name in names for s in self.constraints[name].symbols.values()]
            self._engines[names] = self.engine({zero}.union(*(s.needs for s in symbols)))
        return self._engines[names]

    def _evaluate(self, names: tuple[str, ...], X: Tensor, tapes: Sequence[Tape] = ()) -> dict[str, Tensor]:
        here = self._residuals_at(names, X, tapes[0] if tapes else None)
        against = self.constraints[names[0]].against
        if against is None:
            return here
        there = self._residuals_at(names, against(X), tapes[1] if tapes else None)
        return {name: here[name] - there[name] for name in names}

    def _residuals_at(self, names: tuple[str, ...], X: Tensor, tape: Tape | None) -> dict[str, Tensor]:
        at = self._place(self._plan(names), self.constraints[names[0]].region, X, tape)
        out = {}
        for name in names:
            c = self.constraints[name]
            r = c.residual(**{symbol: s.read(at) for symbol, s in c.symbols.items()})
            if r.shape != X.shape[:1]:
                raise TypeError(
                    f"residual `{name}` of {type(self.problem).__name__} has shape {tuple(r.shape)}; "
                    f"expected ({len(X)},), one number per point"
                )
            out[name] = r
        return out

    @torch.no_grad()
    def terms(self, name: str, X: Tensor) -> dict[str, float]:
        """The rms size over X of each term of an equation, by symbol; `source` is what is left without the fields."""
        c = self.constraints[name]
        at = self._place(self._plan((name,)), c.region, X)
        inside = self.problem.domain.grid(max(2, round(1000 ** (1 / len(self.problem.coordinates))))).to(X)
        values = {n: s.read(at).detach() for n, s in c.symbols.items()}
        return terms_of(self.problem, c, values, rms(self.model(inside)))

    def _place(self, engine: Taylor | Autograd, region: str, X: Tensor, tape: Tape | None = None) -> Place:
        points = X[:, : len(self.problem.coordinates)]
        values = engine(self.model, points, tape)
        has_normal = region != "data" and self.problem.domain.has_normal(region)
        normals = self.problem.domain.normal(region, points) if has_normal else None
        return Place(values, X, normals, self._coefficients(X, tape))

    def _coefficients(self, X: Tensor, tape: Tape | None) -> dict[str, Tensor]:
        trained = getattr(self.model, "unknowns", {})
        fixed = {k: X.new_full((len(X),), v) for k, v in self.problem.coefficients.items() if k not in trained}
        return fixed | {k: tape.per_point(p, len(X)) if tape else p.expand(len(X)) for k, p in trained.items()}

    @torch.no_grad()
    def evaluate(self, symbols: Sequence[str], X: Tensor) -> dict[str, Tensor]:
        """Values (N,), detached, of symbols (`u`, `u_xt`), observables and `residual/<constraint>` at any points."""
        grammar, observables, values = self.problem.grammar, self.problem.observables(), {}
        for name in symbols:
            if name.startswith("residual/"):
                constraint = self.constraints.get(name.removeprefix("residual/"))
                if constraint is None or constraint.kind == "data":  # a measured value belongs to its own point
                    raise TypeError(f"`{name}` is no residual that has a value at any point")
                values[name] = self.residual(constraint.name, X)
            elif name in observables:
                method, parsed = observables[name]
                values[name] = method(**self._read(parsed, X))
        plain = {name: grammar.parse(name, "evaluate", "interior") for name in symbols if name not in values}
        values |= self._read(plain, X)
        return {name: values[name].detach() for name in symbols}

    def _read(self, parsed: Mapping[str, Symbol], X: Tensor) -> dict[str, Tensor]:
        zero = (0,) * len(self.problem.coordinates)
        at = self._place(self.engine({zero}.union(*(s.needs for s in parsed.values()))), "interior", X)
        return {name: s.read(at) for name, s in parsed.items()}

    # --- the loss and its views -----------------------------------------------------------------------------------

    @property
    def weights(self) -> dict[str, float | Tensor]:
        """Base weight x weighting by constraint, a number or one per point; frozen within a step."""
        if self._weights is None:
            self._freeze(self.residuals())
        assert self._weights is not None
        return self._weights

    def _freeze(self, residuals: dict[str, Tensor]) -> dict[str, float | Tensor]:
        self.latest = {name: r.detach() for name, r in residuals.items()}
        if self._weights is None:
            factors = self.weighting(self.batch, self.latest)
            self._weights = {name: self.base[name] * factors.get(name, 1.0) for name in residuals}
        return self._weights

    def losses(self) -> dict[str, Tensor]:
        """mean r^2 by name, unweighted, of the last loss or vector that was asked for."""
        return {name: r.square().mean() for name, r in self.latest.items()}

    def loss(self) -> Tensor:
        """|F|^2 = sum_k mean(w_k r_k^2), with its graph."""
        residuals, means = self._pass()
        w = self._freeze(residuals)
        terms = [
            (w[name] * r.square()).mean() if isinstance(w[name], Tensor) else w[name] * means[name]
            for name, r in residuals.items()
        ]
        return sum(terms[1:], terms[0])

    def vector(self) -> Tensor:
        """F (M,), with its graph unless gradients are off."""
        residuals = self.residuals()
        scale = self._scales(residuals)
        return torch.cat([scale[name] * r for name, r in residuals.items()])

    def _scales(self, residuals: dict[str, Tensor]) -> dict[str, Tensor]:
        w = self._freeze(residuals)
        return {
            name: torch.as_tensor(w[name] / len(r), dtype=r.dtype, device=r.device).sqrt()
            for name, r in residuals.items()
        }

    def gradients(self) -> dict[str, Tensor]:
        """The gradient (P,) of mean r^2, unweighted, by name."""

        def gradient(mean: Tensor) -> Tensor:
            return self.flat(torch.autograd.grad(mean, self.parameters, retain_graph=True, allow_unused=True))

        return {name: gradient(mean) for name, mean in self._pass()[1].items()}

    def flat(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """One vector (P,) from one tensor per parameter; zeros for None."""
        pairs = zip(self.parameters, tensors, strict=True)
        return torch.cat([(torch.zeros_like(p) if t is None else t).flatten() for p, t in pairs])

    def linearise(self) -> Linearisation:
        """F and its Jacobian as an operator, at the current parameters (`jacobian.py`)."""
        slow = {name: self._slow_columns(name) for name in self.batch}
        residuals: dict[str, Tensor] = {}
        tapes: dict[str, list[Tape]] = {}
        for names in self._groups():
            pair = [Tape(), Tape()]
            residuals |= self._evaluate(names, self.batch[names[0]], pair)
            tapes |= dict.fromkeys(names, pair)
        scale = self._scales(residuals)
        F = {name: scale[name] * residuals[name] for name in self.constraints if name in residuals}
        blocks = [jacobian.rows_of(f, tapes[name], self.parameters, slow[name]) for name, f in F.items()]
        return Linearisation(torch.cat([f.detach() for f in F.values()]), blocks, self.columns[-1].stop)

    def _slow_columns(self, name: str) -> list[int]:
        """Parameters (by position) that meet the streams of a constraint where no rule looks; found once."""
        if name not in self._slow:
            trained = [i for i, n in enumerate(self.names) if not n.startswith("unknowns.")]
            self._slow[name] = self._missed(name) if self.engine.taped else trained
        return self._slow[name]

    def _missed(self, name: str, points: int = 32) -> list[int]:
        """Where J^T u from the tape differs from the gradient of u . r.

        Looked for at parameters moved at random: where one starts, a gradient may vanish (a gate that is closed, a last
        layer of zeros) and hide what is missing.
        """
        kept, tapes = [p.detach().clone() for p in self.parameters], [Tape(), Tape()]
        kick = torch.randn(self.columns[-1].stop, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
        self.shift(0.1 * kick.to(self.device, self.dtype))
        r = self._evaluate((name,), self.batch[name][:points], tapes)[name]
        u = torch.linspace(0.5, 1.5, len(r), dtype=r.dtype, device=r.device)
        rows = jacobian.rows_of(r, tapes, self.parameters)
        fast = Linearisation(r.detach(), [rows], self.columns[-1].stop).transposed(u)
        true = self.flat(torch.autograd.grad(r @ u, self.parameters, allow_unused=True))
        for p, before in zip(self.parameters, kept, strict=True):
            p.data.copy_(before)
        tolerance = torch.finfo(r.dtype).eps ** 0.5 * true.abs().max()
        return [i for i, c in enumerate(self.columns) if (fast[c] - true[c]).abs().max() > tolerance]

    @torch.no_grad()
    def shift(self, step: Tensor) -> None:
        """theta <- theta + step (P,)."""
        for p, columns in zip(self.parameters, self.columns, strict=True):
            p.add_(step[columns].view_as(p))


def _compile(graph: Callable) -> Callable:
    """One graph. Its buffers are kept: `gradients` goes back through it once for every term."""
    torch._functorch.config.donated_buffer = False
    return torch.compile(graph, fullgraph=True)
