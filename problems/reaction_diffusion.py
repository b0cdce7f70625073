"""Reaction and diffusion on a circle (Fisher 1937), as in Krishnapriyan et al. (2021, arXiv:2109.01050)."""

from dataclasses import dataclass

from pinn_cli import on
from pinn_cli.physics.references.circle.reaction_diffusion import LieSplitting
from pinn_cli.physics.references.circle.reaction_diffusion import ReactionDiffusion as Converged
from pinn_cli.problems.circle import SmoothCircle

SOLUTIONS = {"converged": Converged, "paper": LieSplitting}


@dataclass
class ReactionDiffusion(SmoothCircle):
    """u_t = nu u_xx + rho u (1 - u) on [0, 2 pi] x [0, 1], periodic in x; u(x, 0) = exp(-(x - pi)^2 / (2 (pi/4)^2)).

    The reference is the converged `solution`, or that of the paper's code, whose relative error is 6e-3 to 7e-3.
    """

    nu: float = 3.0
    rho: float = 5.0
    u0: str = "gaussian"
    solution: str = "converged"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solution not in SOLUTIONS:
            raise ValueError(f"solution={self.solution}: expected {', '.join(SOLUTIONS)}")

    def reference(self) -> Converged | LieSplitting:
        return SOLUTIONS[self.solution](self.nu, self.rho, self.u0)

    @on("interior")
    def pde(self, u, u_t, u_xx, nu, rho):
        return u_t - nu * u_xx - rho * u * (1 - u)
