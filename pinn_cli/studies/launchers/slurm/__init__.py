"""`hydra/launcher=slurm_array`: a sweep as a Slurm array of ordinary `pinn train` commands.

`array` is what the YAML names, `script` what a task carries out, `freeze` keeps the code as it was submitted, `slurm`
speaks to Slurm.
"""

from pinn_cli.studies.launchers.slurm.array import SlurmArray

__all__ = ["SlurmArray"]
