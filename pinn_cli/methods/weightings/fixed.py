"""The base weights alone."""

from pinn_cli.methods.contracts import Batch, Weighting, Weights


class Fixed(Weighting):
    """No factors: the weight of a constraint is its base weight, ``weights.<constraint>``, throughout."""

    of_residuals = False

    def __call__(self, batch: Batch, residuals: Batch) -> Weights:
        return {}
