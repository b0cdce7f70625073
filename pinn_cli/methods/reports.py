"""What one step of an optimizer says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Report:
    """Values by name (``loss/total``, ``learning_rate``, ``damping`` ...); `stop`: why it can go no further."""

    values: Mapping[str, float | Tensor] = field(default_factory=dict)
    stop: str | None = None

    def become(self, other: "Report") -> None:
        """Say what another says, to all who hold this one: the strategies around a stage share its report."""
        self.values, self.stop = other.values, other.stop
