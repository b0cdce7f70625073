"""`hydra/launcher=slurm_array`: a sweep as a Slurm array of ordinary `pinn train` commands.

`array` has the class that the YAML names, `settings` its keys, `script` the batch script, `task` what the script runs,
`freeze` the copy of the code, and `commands` the questions to Slurm.
"""

from pinn_cli.studies.launchers.slurm.array import SlurmArray

__all__ = ["SlurmArray"]
