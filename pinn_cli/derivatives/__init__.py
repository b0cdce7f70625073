"""Truncated multivariate Taylor series, carried through ordinary torch code.

A `Jet` holds the value of a function at N points and some of its partial derivatives, one *stream* (N, H) each.
Networks are plain `nn.Module`s: when torch meets a `Jet`, it calls the rule registered here instead of its own kernel.

    S = streams   N = points   H = features   D = coordinates

Streams form a commutative algebra: the product is the Leibniz rule, a scalar function acts by the formula of Faa di
Bruno. The collapsed Laplacian (Li et al. 2023, "Forward Laplacian"; Dangel et al. 2025) is one more stream with

    (ab)_l = a_l b + a b_l + 2 sum_i a_i b_i        f(a)_l = f'(a) a_l + f''(a) sum_i a_i^2.

A stream that is zero everywhere is `None`; one that is the same at every point has a single row (1, H). Thanks to both,
the first layer, whose derivatives do not depend on the point, costs almost nothing.
"""

from pinn_cli.derivatives import choice_rules, function_rules, linear_rules  # noqa: F401  (they add their rules)
from pinn_cli.derivatives.algebra import Algebra
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.derivatives.jet import RULES, Jet, Tape
from pinn_cli.derivatives.keys import Index, Key, Lap

__all__ = ["RULES", "Algebra", "Autograd", "Index", "Jet", "Key", "Lap", "Tape", "Taylor"]
