"""What one step of an optimizer says of itself."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Report:
    """Values by name (``loss/total``, ``learning_rate``, ``damping`` ...) and, if the optimizer can go no further, why."""

    values: dict[str, float | Tensor] = field(default_factory=dict)
    stop: str | None = None
