"""The C++ source of dense layers for the streams of one algebra: tanh and its chain rule, both ways, in vectors.

    a_s = sum_k f^(k)(z_0) P_sk(z)                                              `Algebra.compositions`
    dL/dz_0 = dL/da_0 f' + sum_s dL/da_s sum_k f^(k+1) P_sk        dL/dz_m = sum_s dL/da_s sum_k f^(k) dP_sk/dz_m

The derivatives of tanh are f^(k) = f' q_k(f) with f' = 1 - f^2, q_1 = 1 and q_(k+1) = -2 f q_k + (1 - f^2) q_k'.

A gate between two functions, U where a = 0 and V = U + d where a = 1, follows from the rule of products:

    h_s = U_s + sum over its (i, j, c) of c a_i d_j                             `Algebra.products`
    dL/da_i = sum_s dL/dh_s sum over (i, j, c) of c d_j            dL/dd_j = sum_s dL/dh_s sum over (i, j, c) of c a_i
"""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from pinn_cli.derivatives.algebra import Monomial, Polynomial
from pinn_cli.derivatives.rational_tanh import BOUND, P, Q

Compositions = list[list[tuple[int, Polynomial]]]  # of each stream, as in `Algebra`
Products = list[list[tuple[int, int, int]]]
Gating = tuple[int, int]  # how many hidden layers have no gate, and which encoder is the output of a gate where Z = 0
PAD = 16  # points of a tile are a multiple of this, the lanes of the longest vectors
VECTORS, LAYERS = (Path(__file__).with_name(f"{name}.cpp") for name in ("vectors", "fused_layers"))
COLUMNS = 512  # of a tile: its activations stay in the cache
COLUMNS_OF_GATES = 256  # with gates, where a tile also has the encoders and their gradients


def source_for(sizes: Sequence[int], compositions: Compositions, products: Products, gating: Gating | None) -> str:
    """The whole source for layers of these sizes, and streams that `compositions` and `products` say how to compute."""
    order, S = max((k for terms in compositions for k, _ in terms), default=0), len(compositions)
    columns = COLUMNS_OF_GATES if gating else COLUMNS
    numbers = {"STREAMS": S, "PAD": PAD, "COLUMNS": columns, "MOST": columns + PAD * (S + 1)}  # MOST: of a row
    constants = [f"constexpr long {name} = {number};" for name, number in numbers.items()]
    constants.append(f"constexpr long SIZES[] = {{{', '.join(map(str, sizes))}}};")
    ungated, closed = gating or (len(sizes) - 2, 0)
    constants.append(f"constexpr long ENCODERS = {2 * bool(gating)}, UNGATED = {ungated}, CLOSED = {closed};")
    chain = _tanh(), _activate(compositions, order), _pull_back(compositions, order)
    rules = *chain, _gate(products), _pull_back_gate(products)
    return "\n".join([VECTORS.read_text("utf-8"), *constants, *rules, LAYERS.read_text("utf-8")])


def kept_size(streams: int, points: int, sizes: Sequence[int], gating: Gating | None) -> int:
    """At least the floats that all tiles keep for layers of these sizes."""
    hidden, columns = sum(sizes[1:-1]), COLUMNS
    if gating:
        hidden, columns = hidden + 2 * sizes[1], COLUMNS_OF_GATES
    padded = (points + PAD - 1) // PAD * PAD
    tiles = (points * streams + columns - 1) // columns
    return hidden * (streams * padded + PAD * tiles)


def _tanh() -> str:
    bound = f"Vector{{}} + {BOUND}f"
    return (
        f"static inline Vector tanh_of(Vector x) {{\n    x = x > {bound} ? {bound} : x;\n    x = x < -({bound}) ? "
        f"-({bound}) : x;\n    Vector s = x * x;\n    return x * ({_horner(P, 's')}) / ({_horner(Q, 's')});\n}}"
    )


def _activate(compositions: Compositions, order: int) -> str:
    """`activate`: a_s from z_s, where z[0] is f(z_0)."""
    lines = [*_slopes_of_tanh(order), "a[0] = f0;"]
    for s, terms in enumerate(compositions[1:], 1):
        lines.append(f"a[{s}] = {_sum([f'f{k} * ({_polynomial(p)})' for k, p in terms])};")
    return _function("activate(const Vector* z, Vector* a)", lines)


def _pull_back(compositions: Compositions, order: int) -> str:
    """`pull_back`: h_s = dL/dz_s from z_s and g_s = dL/da_s, where z[0] is f(z_0)."""
    lines = _slopes_of_tanh(order + 1)
    of_value = ["g[0] * f1"]
    others: list[list[str]] = [[] for _ in compositions]
    for s, terms in enumerate(compositions[1:], 1):
        of_value.append(f"g[{s}] * ({_sum([f'f{k + 1} * ({_polynomial(p)})' for k, p in terms])})")
        for k, p in terms:
            for m in sorted({m for _, monomial in p for m in monomial}):
                others[m].append(f"g[{s}] * f{k} * ({_polynomial(_slope(p, m))})")
    lines.append(f"h[0] = {_sum(of_value)};")
    lines += [f"h[{m}] = {_sum(parts)};" for m, parts in enumerate(others) if m]
    return _function("pull_back(const Vector* z, const Vector* g, Vector* h)", lines)


def _gate(products: Products) -> str:
    """`gate`: h_s from a_s and the two functions."""
    lines = [f"h[{s}] = {_sum([f'closed[{s}]', *(_times(c, f'a[{i}]', f'change[{j}]') for i, j, c in terms)])};"
             for s, terms in enumerate(products)]  # fmt: skip
    return _function("gate(const Vector* a, const Vector* closed, const Vector* change, Vector* h)", lines)


def _pull_back_gate(products: Products) -> str:
    """`pull_back_gate`: of_a_s = dL/da_s from g_s = dL/dh_s; dL/dd_s is added to of_change_s."""
    of_a: list[list[str]] = [[] for _ in products]
    of_change: list[list[str]] = [[] for _ in products]
    for s, terms in enumerate(products):
        for i, j, c in terms:
            of_a[i].append(_times(c, f"g[{s}]", f"change[{j}]"))
            of_change[j].append(_times(c, f"g[{s}]", f"a[{i}]"))
    lines = [f"of_a[{m}] = {_sum(parts)};" for m, parts in enumerate(of_a)]
    lines += [f"of_change[{m}] += {_sum(parts)};" for m, parts in enumerate(of_change)]
    arguments = "const Vector* g, const Vector* a, const Vector* change, Vector* of_a, Vector* of_change"
    return _function(f"pull_back_gate({arguments})", lines)


def _slopes_of_tanh(order: int) -> list[str]:
    """f0 and its derivatives f1, ..., as vectors."""
    lines, q = ["Vector f0 = z[0];", *["Vector f1 = 1.0f - f0 * f0;"][:order]], [1]
    for k in range(2, order + 1):
        slope = [i * c for i, c in enumerate(q)][1:]
        parts = ([0, *(-2 * c for c in q)], slope, [0, 0, *(-c for c in slope)])
        q = [sum(of) for of in zip_longest(*parts, fillvalue=0)]
        lines.append(f"Vector f{k} = f1 * ({_horner([float(c) for c in q], 'f0')});")
    return lines


def _slope(p: Polynomial, m: int) -> Polynomial:
    """dP/dz_m."""
    out: Counter[Monomial] = Counter()
    for c, monomial in p:
        if m in monomial:
            at = monomial.index(m)
            out[monomial[:at] + monomial[at + 1 :]] += c * monomial.count(m)
    return [(c, monomial) for monomial, c in out.items()]


def _polynomial(p: Polynomial) -> str:
    return _sum(["*".join([f"{c}.0f"] * (c != 1 or not mono) + [f"z[{s}]" for s in mono]) for c, mono in p])


def _times(c: int, *factors: str) -> str:
    return " * ".join([f"{c}.0f"] * (c != 1) + [*factors])


def _horner(coefficients: list[float] | tuple[float, ...], of: str) -> str:
    """c_0 + c_1 x + ...; vectors where there is more than one coefficient."""
    *lower, last = coefficients
    text = f"{last!r}f"
    while lower:
        c = lower.pop()
        text = f"({text} * {of} + {c!r}f)" if c else f"({text} * {of})"
    return text


def _sum(parts: list[str]) -> str:
    return " + ".join(parts) or "Vector{}"


def _function(head: str, lines: list[str]) -> str:
    return "\n    ".join([f"static inline void {head} {{", *lines]) + "\n}"
