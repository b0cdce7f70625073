"""The Kuramoto-Sivashinsky equation on a circle (Kuramoto & Tsuzuki 1976; Sivashinsky 1977)."""

from dataclasses import dataclass
from math import pi

from torch import sin

from pinn_cli import Box, Problem, on, periodic
from pinn_cli.physics.references.circle.kuramoto_sivashinsky import KuramotoSivashinsky as Spectral


@dataclass
class KuramotoSivashinsky(Problem):
    """u_t + alpha u u_x + beta u_xx + gamma u_xxxx = 0 on [0, 2 pi] x [0, end], periodic; u(x, 0) = sin(x).

    The coefficients are those of the regular case of Wang, Sankaran & Perdikaris (2022, arXiv:2203.07404): long waves
    grow, a front forms within t = 0.3, and u_xxxx holds its width. Up to t = 0.5 the solution is regular. (The chaotic
    case of their code, jaxpi, has alpha = 100/16, beta = 100/16^2, gamma = 100/16^4 and starts from cos x (1 + sin x).)
    """

    coordinates = ("x", "t")
    fields = ("u",)
    alpha: float = 5.0
    beta: float = 0.5
    gamma: float = 0.005
    end: float = 0.5

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 2 * pi), t=(0, self.end))

    def reference(self) -> Spectral:
        return Spectral(self.alpha, self.beta, self.gamma, end=self.end)

    @on("interior")
    def pde(self, u, u_t, u_x, u_xx, u_xxxx, alpha, beta, gamma):
        return u_t + alpha * u * u_x + beta * u_xx + gamma * u_xxxx

    @on("initial")
    def initial(self, x, u):
        return u - sin(x)

    @periodic("x")
    def seam(self, u):
        return u

    @periodic("x")
    def seam_slope(self, u_x):
        return u_x

    @periodic("x")
    def seam_curvature(self, u_xx):
        return u_xx

    @periodic("x")
    def seam_third(self, u_xxx):
        return u_xxx
