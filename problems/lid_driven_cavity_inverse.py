"""Flow in a square cavity with an unknown Reynolds number, measured on both centre lines: an inverse problem."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pinn_cli import on
from pinn_cli.physics.unknowns import Unknown
from pinn_cli.problems.lid_driven_cavity_streamfunction import LidDrivenCavityStreamfunction


@dataclass
class LidDrivenCavityInverse(LidDrivenCavityStreamfunction):
    """The cavity in streamfunction and pressure; re is unknown, and 30 velocities are measured.

    `measurements` has u(1/2, k/16) and v(k/16, 1/2), k = 1 ... 15, the stations of Marchi, Suero & Araki (2009), of the
    spectral solution for the true `re`, with normal noise of standard deviation `noise` times the root mean square of
    the 30 values. `noise_seed` is that of the noise. u and v are measured at different points, except in the middle.
    The search has bounds: without them the first steps may take the viscosity away, and `re` grows without end.
    """

    unknowns = {"re": Unknown(50.0, low=5.0, high=500.0)}
    noise: float = 0.01
    noise_seed: int = 0

    def measurements(self) -> dict[str, Any]:
        k = torch.arange(1, 16, dtype=torch.float64, device="cpu") / 16
        half = torch.full_like(k, 0.5)
        x, y = torch.cat([half, k]), torch.cat([k, half])
        velocity = self._flow(["u", "v"])(torch.stack([x, y], 1))
        clean = torch.cat([velocity["u"][:15], velocity["v"][15:]])
        generator = torch.Generator("cpu").manual_seed(self.noise_seed)
        normal = torch.randn(30, generator=generator, dtype=torch.float64, device="cpu")
        values = (clean + self.noise * clean.square().mean().sqrt() * normal).numpy()
        on_y = np.arange(30) >= 15  # the line y = 1/2
        return {"x": x, "y": y, "u_data": np.ma.array(values, mask=on_y), "v_data": np.ma.array(values, mask=~on_y)}

    @on("data")
    def measured_u(self, psi_y, u_data):
        return psi_y - u_data

    @on("data")
    def measured_v(self, psi_x, v_data):
        return -psi_x - v_data
