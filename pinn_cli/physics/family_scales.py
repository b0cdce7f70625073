"""Natural units that serve all instances of a family: medians over some instances of its training set."""

from collections.abc import Sequence
from statistics import median

from pinn_cli.physics.family import Family
from pinn_cli.physics.problem import asked_once
from pinn_cli.physics.scales import Scale, field_scales, natural_units

LOOKED_AT = 16  # instances


@asked_once
def family_scales(family: Family) -> dict[str, Scale]:
    """Of every field the median offset and the median size. Raises ValueError as `field_scales` does."""
    each = [field_scales(one) for one in _some(family)]
    return {
        field: Scale(
            median(scales[field].offset for scales in each),
            median(scales[field].size for scales in each),
            f"{first.origin}, the median of {LOOKED_AT} instances",
        )
        for field, first in each[0].items()
    }


@asked_once
def family_units(family: Family) -> dict[str, float]:
    """Of every constraint the median natural unit."""
    each = [natural_units(one, field_scales(one)) for one in _some(family)]
    return {name: median(units[name] for units in each) for name in each[0]}


def _some(family: Family) -> Sequence[Family]:
    return family.instances("train", LOOKED_AT)
