"""The profile likelihood of unknown coefficients of a run that has ended: computed, and kept in its results file."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.lock import Lock
from pinn_cli.records.results import Noted, Results
from pinn_cli.runs.diagnose import at_last_points, refuse_running
from pinn_cli.runs.load import load
from pinn_cli.training import profile_likelihood
from pinn_cli.training.profile_likelihood import Profile
from pinn_cli.training.uncertainty import uncertainty

# A run that has ended is near its best fit, so the damping starts from almost nothing and grows where it has to.
new_optimizer = partial(LevenbergMarquardt, damping=1e-6)


def profiles(
    folder: Path, names: Sequence[str], trust_source: bool = False, changed: bool = False
) -> Iterator[Profile]:
    """The profile of each unknown `names`; one of the same name in the results file is replaced.

    Raises UsageError for a name that is no unknown, for a run without standard errors, and for a running run.
    """
    results = Results(folder / RESULTS)
    refuse_running(folder, results)
    with Lock(folder):
        objective = at_last_points(load(folder, trust_source, changed=changed).objective, folder, results)
        seed = int(results.read_attributes()["seed"])
        known = uncertainty(objective, seed)
        for found in profile_likelihood.profiles(objective, known, names, new_optimizer, seed):
            kept = {path: Noted(value, results.read_attributes(f"profiles/{path}"))
                    for path, value in results.read("profiles").items()
                    if path.partition("/")[0] != found.name}  # fmt: skip
            results.replace({"profiles": kept | {found.name: found.group}})
            yield found
