"""Optimizers in torch's interface that turn the gradient of each parameter into a direction."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Directions(torch.optim.Optimizer):
    """theta <- theta - lr d(G), for the gradient G of each parameter by itself.

    A subclass writes `direction`. `betas` and `eps` are those of Adam. What it keeps of a parameter, tensors and
    numbers, is in `state`, for the checkpoint. Raises ValueError for `betas` out of range.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, **settings: Any) -> None:
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise ValueError(f"betas={list(betas)}: expected two numbers from 0 to below 1")
        super().__init__(parameters, {"lr": lr, "betas": tuple(betas), "eps": eps, **settings})

    @abstractmethod
    def direction(self, G: Tensor, state: dict[str, Any], settings: dict[str, Any]) -> Tensor:
        """d, of the shape of G. `state["step"]` is 1 at the first call."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient; there is no closure."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state[p]
                    state["step"] = state.get("step", 0) + 1
                    p.sub_(group["lr"] * self.direction(p.grad, state, group))


def averaged(state: dict[str, Any], name: str, value: Tensor, beta: float) -> Tensor:
    """The running average a <- beta a + (1 - beta) value in `state`, from 0; without its bias 1 - beta^step."""
    state[name] = beta * state.get(name, torch.zeros_like(value)) + (1 - beta) * value
    return state[name] / (1 - beta ** state["step"])


def adam(G: Tensor, state: dict[str, Any], settings: dict[str, Any]) -> Tensor:
    """The direction of Adam (Kingma and Ba, 2015), with `betas` and `eps` of the settings."""
    (beta1, beta2), eps = settings["betas"], settings["eps"]
    mean = averaged(state, "mean", G, beta1)
    return mean / (averaged(state, "square", G * G, beta2).sqrt() + eps)
