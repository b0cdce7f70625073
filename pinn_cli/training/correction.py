"""A correction of a frozen model: basis functions that are added to its fields, and the equations they have to satisfy.

    u_f + du_f        du_f(X) = sum_g a_fg(X) sum_j c_gj phi_j(X)        a_fg = d(field f) / d(output g of the network)

Without an ansatz, a is the identity. With one, du lies in its tangent space, so that conditions which the ansatz
imposes hold for u + du as well. The unknown coefficients of the equations are corrected too; the fields change with
those that stand in the ansatz, to first order.

    N = points   K = basis functions   G = outputs of the network, one for each field   U = unknown coefficients
    P = G K + U = columns
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.derivatives import Jet
from pinn_cli.derivatives.algebra import Algebra
from pinn_cli.derivatives.keys import Key
from pinn_cli.methods.contracts import Batch
from pinn_cli.physics.symbols import Coefficient, Derivative, Normal, Place, Symbol
from pinn_cli.physics.time_window import Known
from pinn_cli.physics.unknowns import values_of
from pinn_cli.training.residuals import Group, Residuals

AT_ONCE = 500  # points whose basis functions are in memory at the same time
STEP = 1e-4  # of the central differences of the ansatz; that for a_fg is exact where it is linear in the network

Pair = tuple[int, int]  # a field f and an output g
Symbols = dict[str, dict[str, Tensor]]  # the values (N,) of the symbols of every constraint of a side


@dataclass(frozen=True)
class Basis:
    """The functions a_fg phi_j for the model of `residuals`; `features` maps points (N, D) to phi (N, K)."""

    residuals: Residuals
    features: nn.Module
    count: int

    @property
    def outputs(self) -> int:
        """G."""
        return len(self.residuals.problem.fields)

    @property
    def columns(self) -> int:
        """P."""
        return self.outputs * self.count + len(self.residuals.unknowns)


@dataclass(frozen=True)
class Correction:
    """du for the coefficients c (P,), of which the last U are the changes of the unknown coefficients."""

    basis: Basis
    c: Tensor

    @property
    def unknowns(self) -> dict[str, Tensor]:
        """The change of each unknown coefficient."""
        names = self.basis.residuals.unknowns
        return dict(zip(names, self.c[self.basis.columns - len(names) :], strict=True))

    def changes(self, at: Place) -> Place:
        """The changes of everything that symbols are read from at these points."""
        return Located(self.basis, at).changes(self)


class Located:
    """A basis at the points of a place, with the derivatives that are read there."""

    def __init__(self, basis: Basis, at: Place):
        self.basis, self.at, self.wanted = basis, at, at.values.keys()
        self.X = at.points[:, : basis.residuals.dimension]
        self.algebra = Algebra(self.wanted)
        imposes = getattr(basis.residuals.model, "ansatz", None) is not None
        self.slopes = self._slopes() if imposes else {(f, f): None for f in range(basis.outputs)}
        self.moved = self._moved() if imposes else {}

    def changes(self, correction: Correction) -> Place:
        """The changes of everything that symbols are read from."""
        G, K = self.basis.outputs, self.basis.count
        c = correction.c[: G * K].view(G, K)
        values = {key: self.X.new_zeros(len(self.X), G) for key in self.wanted}
        for some, tables in self.tables() if c.any() else ():
            for (f, g), table in tables.items():
                for key, value in values.items():
                    value[some, f] += table[key] @ c[g]
        for name, table in self.moved.items():
            for key, value in values.items():
                value += table[key] * correction.unknowns[name]
        changes = {name: d.expand(len(self.X)) for name, d in correction.unknowns.items()}
        return Place(values, self.at.points, self.at.normals, changes)

    @torch.no_grad()
    def tables(self) -> Iterator[tuple[slice, dict[Pair, dict[Key, Tensor]]]]:
        """Some rows of points at a time, and the derivatives (N, K) of a_fg phi_j there; pairs with a_fg = 0 lack."""
        for some in (slice(start, start + AT_ONCE) for start in range(0, len(self.X), AT_ONCE)):
            phi = self.basis.features(Jet.identity(self.algebra, self.X[some]))
            products = {
                pair: phi if a is None else Jet([s[some] for s in a], self.algebra) * phi
                for pair, a in self.slopes.items()
            }
            yield some, {pair: {key: jet.derivative(key) for key in self.wanted} for pair, jet in products.items()}

    def _slopes(self) -> dict[Pair, list[Tensor] | None]:
        """The streams (N, 1) of every a_fg that is not 0 everywhere."""
        model: Any = self.basis.residuals.model
        out: dict[Pair, list[Tensor] | None] = {}
        for g in range(self.basis.outputs):
            shift = STEP * torch.eye(self.basis.outputs, dtype=self.X.dtype)[g]

            def slope(Y: Any, shift: Tensor = shift) -> Any:
                outputs, at = model.outputs(Y), self._unknowns
                return (model.ansatz(Y, outputs + shift, **at) - model.ansatz(Y, outputs - shift, **at)) * (0.5 / STEP)

            table = self.basis.residuals.engine(self.algebra.position)(slope, self.X)
            for f in range(self.basis.outputs):
                streams = [table[key][:, f : f + 1].detach() for key in self.algebra.position]
                if any(bool(s.any()) for s in streams):
                    out[f, g] = streams
        return out

    def _moved(self) -> dict[str, dict[Key, Tensor]]:
        """The derivatives (N, G) of d(fields) / d mu, for each unknown mu that stands in the ansatz."""
        model: Any = self.basis.residuals.model
        out: dict[str, dict[Key, Tensor]] = {}
        for name, value in self._unknowns.items():
            step = STEP * (value.abs() if value else torch.ones_like(value))

            def slope(Y: Any, name: str = name, value: Tensor = value, step: Tensor = step) -> Any:
                outputs, ends = model.outputs(Y), ({name: value + step}, {name: value - step})
                above, below = (model.ansatz(Y, outputs, **(self._unknowns | end)) for end in ends)
                return (above - below) * (0.5 / step)

            table = self.basis.residuals.engine(self.wanted)(slope, self.X)
            if any(bool(values.any()) for values in table.values()):
                out[name] = {key: values.detach() for key, values in table.items()}
        return out

    @property
    def _unknowns(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in values_of(self.basis.residuals.model).items()}


@dataclass(frozen=True)
class Side:
    """Constraints that share their points. The second side of a periodic pair has the sign -1.

    `before` is the basis of the window in time before, where a condition refers to it.
    """

    constraints: Group
    at: Place
    sign: float
    here: Located
    before: Located | None


class Equations:
    """The constraints of a problem at the points of a batch, as functions of a correction.

    `before` is the correction of the window in time before this one, to which the conditions at its beginning refer.
    What symbols are at the latest correction is kept: rows and residuals are asked for there one after the other, and
    the basis functions at all points take most of the time.
    """

    def __init__(self, basis: Basis, batch: Batch, before: Correction | None = None):
        self.basis, self.before, self.residuals = basis, before, basis.residuals
        self.constraints = {name: self.residuals.constraints[name] for name in batch}
        self.sides = [side for names in self.residuals.groups(batch) for side in self._sides(names, batch[names[0]])]
        self._plain = [self._read(side) for side in self.sides]
        self._latest: tuple[Correction | None, list[Symbols]] = (None, self._plain)

    def values(self, correction: Correction | None = None) -> dict[str, Tensor]:
        """The residual r (N,) of every constraint, not linearised; None: that of the frozen model."""
        out: dict[str, Tensor] = {}
        for side, each in zip(self.sides, self._symbols(correction), strict=True):
            for name, symbols in each.items():
                r = side.sign * self.constraints[name].residual(**symbols).detach()
                out[name] = out[name] + r if name in out else r
        return {name: out[name] for name in self.constraints}

    def rows(self, correction: Correction) -> dict[str, Tensor]:
        """dr/dc (N, P) of every constraint at a correction."""
        out: dict[str, Tensor] = {}
        for side, each in zip(self.sides, self._symbols(correction), strict=True):
            slopes = {name: self._slopes(name, symbols) for name, symbols in each.items()}
            for name in slopes.keys() - out.keys():
                out[name] = side.at.points.new_zeros(len(side.at.points), self.basis.columns)
            for name in slopes:
                self._add_unknowns(out[name], name, slopes[name], side)
            for some, tables in side.here.tables():
                normals = None if side.at.normals is None else side.at.normals[some, :, None]
                for pair, table in tables.items():
                    at = Place({key: value[:, None] for key, value in table.items()}, side.at.points, normals, {})
                    for name, of in slopes.items():
                        self._add(out[name][some], name, {s: side.sign * v[some] for s, v in of.items()}, pair, at)
        return {name: out[name] for name in self.constraints}

    def _sides(self, names: Group, X: Tensor) -> list[Side]:
        against = self.residuals.constraints[names[0]].against
        return [self._side(names, end, sign) for end, sign in ([(X, 1.0)] + ([(against(X), -1.0)] if against else []))]

    def _side(self, names: Group, X: Tensor, sign: float) -> Side:
        at = _detached(self.residuals.place(names, X))
        seam = any(isinstance(s, Known) for name in names for s in self.constraints[name].symbols.values())
        before = Located(self.before.basis, at) if seam and self.before is not None else None
        return Side(names, at, sign, Located(self.basis, at), before)

    def _read(self, side: Side) -> Symbols:
        """The symbols of every constraint of a side for the frozen model."""
        return {n: {s: p.read(side.at) for s, p in self.constraints[n].symbols.items()} for n in side.constraints}

    def _symbols(self, correction: Correction | None) -> list[Symbols]:
        """The symbols of every side at a correction; None: for the frozen model."""
        if correction is None:
            return self._plain
        if self._latest[0] is not correction:
            sides = zip(self.sides, self._plain, strict=True)
            self._latest = correction, [self._corrected(side, plain, correction) for side, plain in sides]
        return self._latest[1]

    def _corrected(self, side: Side, plain: Symbols, correction: Correction) -> Symbols:
        here = side.here.changes(correction)
        before = None if side.before is None or self.before is None else side.before.changes(self.before)
        return {
            name: {s: v + _change(self.constraints[name].symbols[s], here, before) for s, v in symbols.items()}
            for name, symbols in plain.items()
        }

    def _slopes(self, name: str, symbols: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """dr/ds (N,) for every symbol s that a correction changes."""
        c, unknowns = self.constraints[name], self.residuals.unknowns
        leaves = {s: symbols[s].detach().clone().requires_grad_() for s, p in c.symbols.items() if _moves(p, unknowns)}
        if not leaves:
            return {}
        with torch.enable_grad():
            r = c.residual(**{**symbols, **leaves})
            slopes = torch.autograd.grad(r.sum(), list(leaves.values()), allow_unused=True)
        return {s: g for s, g in zip(leaves, slopes, strict=True) if g is not None}

    def _add(self, rows: Tensor, name: str, slopes: Mapping[str, Tensor], pair: Pair, at: Place) -> None:
        """Add the rows of one constraint for a field f and an output g."""
        f, g = pair
        block = rows[:, g * self.basis.count : (g + 1) * self.basis.count]
        for s, slope in slopes.items():
            symbol = self.constraints[name].symbols[s]
            if isinstance(symbol, Derivative | Normal) and symbol.field == f:
                block += slope[:, None] * replace(symbol, field=0).read(at)

    def _add_unknowns(self, rows: Tensor, name: str, slopes: Mapping[str, Tensor], side: Side) -> None:
        unknowns = list(self.residuals.unknowns)
        for s, slope in slopes.items():
            symbol = self.constraints[name].symbols[s]
            if isinstance(symbol, Coefficient):
                rows[:, unknowns.index(symbol.name) - len(unknowns)] += side.sign * slope
                continue
            for moving, table in side.here.moved.items():
                change = symbol.read(Place(table, side.at.points, side.at.normals, {}))
                rows[:, unknowns.index(moving) - len(unknowns)] += side.sign * slope * change


def _moves(symbol: Symbol, unknowns: Collection[str]) -> bool:
    """Whether a correction changes the value of a symbol."""
    return isinstance(symbol, Derivative | Normal) or (isinstance(symbol, Coefficient) and symbol.name in unknowns)


def _change(symbol: Symbol, here: Place, before: Place | None) -> Tensor | float:
    """The change of a symbol, given the changes here and those of the solution before."""
    if isinstance(symbol, Known):
        return 0.0 if before is None else symbol.symbol.read(before)
    return symbol.read(here) if _moves(symbol, here.coefficients) else 0.0


def _detached(at: Place) -> Place:
    values = {key: value.detach() for key, value in at.values.items()}
    return Place(values, at.points, at.normals, {name: v.detach() for name, v in at.coefficients.items()})
