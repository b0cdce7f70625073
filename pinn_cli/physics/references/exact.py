"""An exact solution as reference."""

from collections.abc import Callable

from torch import Tensor

from pinn_cli.basics.errors import UsageError


class Exact:
    """A reference from ``exact(x, y, ...)``, which returns (N,), or a tuple of such in the order of `fields`.

    Because it is ordinary torch code, a jet instead of X (N, D) gives its derivatives as well.
    """

    at: Tensor | None = None
    error = 1e-15  # a few roundings of double precision

    def __init__(self, exact: Callable[..., Tensor | tuple[Tensor, ...]], fields: tuple[str, ...]) -> None:
        self.exact, self.fields = exact, fields

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) by field at X (N, D). Raises UsageError if their number is not the number of fields."""
        values = self.exact(*(X[:, i] for i in range(X.shape[1])))
        values = values if isinstance(values, tuple) else (values,)
        if len(values) != len(self.fields):
            raise UsageError(f"exact: {len(values)} values; expected one for each field ({', '.join(self.fields)})")
        return dict(zip(self.fields, values, strict=True))
