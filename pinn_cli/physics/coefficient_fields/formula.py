"""A field that a function of a user's own gives."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import user_method
from pinn_cli.physics.coefficient_fields.base import CoefficientField


class Formula(CoefficientField):
    """``Formula(lambda x: 0.3 * torch.sin(2 * torch.pi * x), ["x"])``: a function of coordinates, each (N,).

    Written in functions of torch it has all derivatives; in those of numpy it has values only.
    """

    def __init__(self, function: Callable[..., Any], coordinates: Sequence[str]) -> None:
        self.function, self.coordinates = function, tuple(coordinates)
        self.of_torch = self._takes_tensors()

    def _takes_tensors(self) -> bool:
        """Whether it is a function of tensors, without a complaint; then it is not called with arrays of numpy."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self.function(*(torch.zeros(1, dtype=torch.float64, device="cpu") for _ in self.coordinates))
        except Exception:
            return False
        return True

    def values(self, *columns: Any) -> Any:
        like = columns[0]
        if not isinstance(like, Tensor):
            if self.of_torch:
                return self.function(*columns)  # of jets
            raise NotImplementedError("it is no function of torch, so it has no derivatives; write e.g. torch.sin")
        with user_method(str(self)):
            own = columns if self.of_torch else [c.detach().cpu().double().numpy() for c in columns]
            return torch.as_tensor(self.function(*own), dtype=like.dtype, device=like.device).expand(like.shape)

    @property
    def state(self) -> Mapping[str, Tensor]:
        return {}

    def __str__(self) -> str:
        return f"a function of {', '.join(self.coordinates)}"
