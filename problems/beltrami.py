"""An unsteady flow in space whose vorticity is parallel to its velocity (Ethier & Steinman 1994)."""

from dataclasses import dataclass

from torch import Tensor, cos, exp, sin

from pinn_cli import Box, Problem, on


@dataclass
class Beltrami(Problem):
    """q_t + q . grad q + grad p = nu lap q, div q = 0 for the velocity q = (u, v, w) on [-1, 1]^3 x [0, 1].

    u = -a (exp(a x) sin(a y + d z) + exp(a z) cos(a x + d y)) exp(-nu d^2 t), and
    p = -a^2 (exp(2 a x) / 2 + sin(a x + d y) cos(a z + d x) exp(a (y + z)) + ...) exp(-2 nu d^2 t);
    v, w and the other terms of p follow by x -> y -> z -> x. Given are the velocity at t = 0 and on the rim, and p,
    whose level is free at every instant, on x = -1.
    """

    coordinates = ("x", "y", "z", "t")
    fields = ("u", "v", "w", "p")
    a: float = 1.0
    d: float = 1.0
    nu: float = 1.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(-1, 1), y=(-1, 1), z=(-1, 1), t=(0, 1))

    def exact(self, x: Tensor, y: Tensor, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        u, v, w = self.speed(x, y, z, t), self.speed(y, z, x, t), self.speed(z, x, y, t)
        return u, v, w, self.pressure(x, y, z, t)

    def speed(self, x: Tensor, y: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """The component along the first of three axes, which are in the order x, y, z or turned."""
        a, d = self.a, self.d
        return -a * (exp(a * x) * sin(a * y + d * z) + exp(a * z) * cos(a * x + d * y)) * exp(-self.nu * d**2 * t)

    def pressure(self, x: Tensor, y: Tensor, z: Tensor, t: Tensor) -> Tensor:
        return -(self.head(x, y, z) + self.head(y, z, x) + self.head(z, x, y)) * exp(-2 * self.nu * self.d**2 * t)

    def head(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """A third of -p at t = 0; the others follow by x -> y -> z -> x."""
        a, d = self.a, self.d
        return a**2 * (exp(2 * a * x) / 2 + sin(a * x + d * y) * cos(a * z + d * x) * exp(a * (y + z)))

    @on("interior")
    def momentum_x(self, u, v, w, u_t, u_x, u_y, u_z, p_x, lap_u, nu):
        return u_t + u * u_x + v * u_y + w * u_z + p_x - nu * lap_u

    @on("interior")
    def momentum_y(self, u, v, w, v_t, v_x, v_y, v_z, p_y, lap_v, nu):
        return v_t + u * v_x + v * v_y + w * v_z + p_y - nu * lap_v

    @on("interior")
    def momentum_z(self, u, v, w, w_t, w_x, w_y, w_z, p_z, lap_w, nu):
        return w_t + u * w_x + v * w_y + w * w_z + p_z - nu * lap_w

    @on("interior")
    def continuity(self, u_x, v_y, w_z):
        return u_x + v_y + w_z

    @on("boundary")
    def rim_u(self, x, y, z, t, u):
        return u - self.speed(x, y, z, t)

    @on("boundary")
    def rim_v(self, x, y, z, t, v):
        return v - self.speed(y, z, x, t)

    @on("boundary")
    def rim_w(self, x, y, z, t, w):
        return w - self.speed(z, x, y, t)

    @on("x=-1")
    def level(self, x, y, z, t, p):
        return p - self.pressure(x, y, z, t)

    @on("initial")
    def initial_u(self, x, y, z, t, u):
        return u - self.speed(x, y, z, t)

    @on("initial")
    def initial_v(self, x, y, z, t, v):
        return v - self.speed(y, z, x, t)

    @on("initial")
    def initial_w(self, x, y, z, t, w):
        return w - self.speed(z, x, y, t)
