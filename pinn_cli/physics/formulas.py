"""Formulas in the coordinates, as a user types them: ``exp(-100 * (x - 0.5)**2) + 0.1``."""

import ast
from collections.abc import Callable, Mapping, Sequence
from math import e, pi

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError, nearest

FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    name: getattr(torch, name)
    for name in ("abs", "cos", "cosh", "erf", "exp", "log", "maximum", "minimum", "sin", "sinh", "sqrt", "tan", "tanh")
}
OF_TWO = ("maximum", "minimum")
CONSTANTS = {"pi": pi, "e": e}
OPERATIONS: Mapping[type, Callable] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a ** (b if b.dim() else float(b)),  # a square is faster, and exact, with a number
    ast.USub: lambda a: -a,
    ast.UAdd: lambda a: a,
}


class Formula:
    """A function (N, D) -> (N,) of the coordinates: numbers, + - * / **, pi, e and the functions of FUNCTIONS.

    Nothing else of Python can be written in it. Raises UsageError, naming what was found, for anything else.
    """

    def __init__(self, text: str, coordinates: Sequence[str]) -> None:
        self.text, self.coordinates = text, tuple(coordinates)
        if not text.strip():
            raise UsageError(f"formula `{text}`: found nothing; expected one in {', '.join(self.coordinates)}, or 1")
        try:
            self.tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise UsageError(f"formula `{text}`: {error.msg}") from None
        self._check(self.tree)

    def __call__(self, X: Tensor) -> Tensor:
        """The values (N,) at X (N, D)."""
        value = self._value(self.tree, dict(zip(self.coordinates, X.unbind(1), strict=True)))
        return value.to(X).expand(len(X))

    def _check(self, node: ast.expr) -> None:
        """Refuse what is no part of a formula."""
        known = [*self.coordinates, *CONSTANTS]
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return
            case ast.Name(id=name) if name in known:
                return
            case ast.Name(id=name):
                raise UsageError(f"formula `{self.text}`: unknown name `{name}`; {nearest(name, known)}")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATIONS:
                parts = [left, right]
            case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATIONS:
                parts = [operand]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
                parts, expected = args, 2 if name in OF_TWO else 1
                if len(args) != expected:
                    raise UsageError(f"formula `{self.text}`: found {len(args)} values in `{ast.unparse(node)}`; "
                                     f"expected {expected}")
            case ast.Call(func=ast.Name(id=name)):
                raise UsageError(f"formula `{self.text}`: unknown function `{name}`; {nearest(name, FUNCTIONS)}")
            case _:
                found = ast.unparse(node)
                raise UsageError(f"formula `{self.text}`: found `{found}`; expected numbers, coordinates and functions")
        for part in parts:
            self._check(part)

    def _value(self, node: ast.expr, at: Mapping[str, Tensor]) -> Tensor:
        """The values (N,) of a part; of numbers alone (), in float64, where a division by 0 is infinite as in (N,)."""
        match node:
            case ast.Constant(value=value):
                return torch.tensor(float(value), dtype=torch.float64, device="cpu")  # type: ignore[arg-type]
            case ast.Name(id=name):
                return at[name] if name in at else torch.tensor(CONSTANTS[name], dtype=torch.float64, device="cpu")
            case ast.BinOp(left=left, op=op, right=right):
                return OPERATIONS[type(op)](*_alike(self._value(left, at), self._value(right, at)))
            case ast.UnaryOp(op=op, operand=operand):
                return OPERATIONS[type(op)](self._value(operand, at))
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        return FUNCTIONS[node.func.id](*_alike(*(self._value(arg, at) for arg in node.args)))


def _alike(*values: Tensor) -> list[Tensor]:
    """These values on the device and in the precision of those that are (N,)."""
    like = max(values, key=Tensor.dim)
    return [value.to(like) for value in values]
