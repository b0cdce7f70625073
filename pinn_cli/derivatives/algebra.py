"""Which streams a jet carries and how they multiply, planned once and symbolically, outside the training step."""

from collections import Counter
from collections.abc import Iterable
from itertools import product
from math import comb, factorial, prod

from pinn_cli.derivatives.keys import Index, Key, Lap

Monomial = tuple[int, ...]  # positions of the streams that are multiplied
Polynomial = list[tuple[int, Monomial]]  # coefficients and monomials


class Algebra:
    """The streams of a jet: the derivatives `wanted`, all lower ones that they need, and the rules to multiply them."""

    def __init__(self, wanted: Iterable[Key]):
        wanted = set(wanted)
        D = max(k.dimension if isinstance(k, Lap) else len(k) for k in wanted)
        laps = sorted(k for k in wanted if isinstance(k, Lap))
        indices = {k for k in wanted if not isinstance(k, Lap)}
        indices |= {unit(i, D) for lap in laps for i in lap.axes} | {(0,) * D}
        closed = {b for a in indices for b in product(*(range(n + 1) for n in a))}
        self.dimension = D
        self.indices: list[Index] = sorted(closed, key=lambda a: (sum(a), tuple(-n for n in a)))
        self.laps = [lap for lap in laps if not all(unit(i, D, 2) in closed for i in lap.axes)]
        keys: list[Key] = [*self.indices, *self.laps]
        self.position: dict[Key, int] = {key: s for s, key in enumerate(keys)}
        self.order = max([sum(a) for a in self.indices] + [2] * bool(self.laps))
        self.products = [self._leibniz(a) for a in self.indices] + [self._leibniz_lap(lap) for lap in self.laps]
        self.compositions = self._faa_di_bruno()

    def __len__(self) -> int:
        return len(self.position)

    def _leibniz(self, a: Index) -> list[tuple[int, int, int]]:
        """(ab)_a = sum over b <= a of C(a, b) a_b b_{a-b}, as (left, right, coefficient)."""
        below = product(*(range(n + 1) for n in a))
        rest = {b: tuple(i - j for i, j in zip(a, b, strict=True)) for b in below}
        return [(self.position[b], self.position[c], prod(map(comb, a, b))) for b, c in rest.items()]

    def _leibniz_lap(self, lap: Lap) -> list[tuple[int, int, int]]:
        ends = self.position[lap]
        first = [self.position[unit(i, self.dimension)] for i in lap.axes]
        return [(ends, 0, 1), (0, ends, 1), *((i, i, 2) for i in first)]

    def _faa_di_bruno(self) -> list[list[tuple[int, Polynomial]]]:
        """f(z)_s = sum_k f^(k)(z_0) P_sk(z): for each stream s its (k, P_sk), P a list of (coefficient, monomial).

        With d = z - z_0, f(z) = sum_k f^(k)(z_0) d^k / k!; the powers are formed once, in symbols.
        """
        S = len(self)
        delta: list[Counter[Monomial]] = [Counter({(s,): 1}) if s else Counter() for s in range(S)]
        out: list[list[tuple[int, Polynomial]]] = [[] for _ in range(S)]
        power = delta
        for k in range(1, self.order + 1):
            for s in range(1, S):
                if power[s]:
                    out[s].append((k, [(c // factorial(k), m) for m, c in power[s].items()]))
            power = [_polynomial_product(power, delta, terms) for terms in self.products]
        return out


def unit(axis: int, dimension: int, n: int = 1) -> Index:
    """The multi-index of the n-th derivative along one axis."""
    return tuple(n * int(i == axis) for i in range(dimension))


def _polynomial_product(a: list[Counter], b: list[Counter], terms: list[tuple[int, int, int]]) -> Counter[Monomial]:
    out: Counter[Monomial] = Counter()
    for left, right, c in terms:
        for m, x in a[left].items():
            for n, y in b[right].items():
                out[tuple(sorted(m + n))] += c * x * y
    return out
