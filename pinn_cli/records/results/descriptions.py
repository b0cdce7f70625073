"""What each dataset of a results file is, in one line, and its unit: written beside the numbers as attributes."""

from fnmatch import fnmatchcase

# Problems are dimensionless as typed, so only times have a unit. The first pattern that fits counts.
DESCRIPTIONS: list[tuple[str, str, str]] = [
    ("table/settings/*", "", "what was typed for each run, in the order of /table/number"),
    ("table/number", "1", "numbers of the runs: run k lies in /runs/<number>"),
    ("table/state", "", "state of each run"),
    ("table/note", "", "why a run failed, stopped or was refused"),
    ("table/seconds", "s", "wall time of each run, NaN where there is none"),
    ("table/steps", "1", "accepted steps of each run, -1 where there are none"),
    ("table/error/*", "1", "relative L2 error of this field for each run, NaN where there is none"),
    ("table/metric/*", "1", "metric of the problem for each run, NaN where there is none"),
    ("config", "", "resolved configuration of the run (YAML)"),
    ("begun", "", "the configuration before a resume changed it (YAML)"),
    ("stages", "", "names of the stages; history/stage is an index into them"),
    ("source/*", "", "source text of a module that is not part of the package"),
    ("history/step", "1", "accepted steps of the run, all stages together"),
    ("history/time", "s", "wall time since the run began, earlier lives included"),
    ("history/stage", "1", "index into /stages"),
    ("history/loss/total", "1", "what was minimised: sum over constraints of weight * mean(r^2)"),
    ("history/loss/*", "1", "mean(r^2) over the points of this constraint, unweighted"),
    ("history/weight/*", "1", "mean weight of this constraint in force at this step"),
    ("history/guard/*", "1", "held-out over trained rms residual; far above 1: broken between the points"),
    ("history/error/*", "1", "relative L2 error of this field on the reference points"),
    ("history/metric/*", "1", "metric of the problem"),
    ("history/unknown/*", "1", "value of this trained coefficient"),
    ("history/alignment", "1", "alignment score of the gradients: 1 all one way, -1 two against each other"),
    ("history/sharpness", "1", "largest eigenvalue of the Hessian of the loss"),
    ("history/condition_number", "1", "largest over smallest magnitude of the Hessian eigenvalues found"),
    ("history/learning_rate", "1", "learning rate of the optimizer"),
    ("history/damping", "1", "Levenberg-Marquardt damping"),
    ("history/*", "1", "value reported by the optimizer or the weighting"),
    ("fields/points", "1", "points of prediction and reference, one row each; attribute coordinates names the columns"),
    ("fields/prediction/*", "1", "value of the trained network at /fields/points"),
    ("fields/reference/*", "1", "trusted value at /fields/points"),
    ("residuals/*/points", "1", "points, one row each"),
    ("residuals/*/values", "1", "residual r of this constraint at the points, unweighted"),
    ("collocation/*", "1", "training points of this constraint, one row each"),
    ("network/*", "1", "parameter of the network kept"),
    ("error/*", "1", "relative L2 error |u - reference| / |reference| on the reference points"),
    ("timing/*", "s", "seconds spent in this phase"),
    ("metrics/*", "1", "metric of the problem"),
    ("guard/verdict", "", "what the points held out of training say"),
    ("guard/ratio/*", "1", "held-out over trained rms residual of this constraint"),
    ("guard/relative/*", "1", "held-out residual relative to the largest term of the equation"),
    ("unknowns/*", "1", "trained coefficient"),
    ("seams/time", "1", "times at which a window begins where another ends"),
    ("seams/*", "1", "largest jump there of what this initial condition speaks of"),
    ("diagnostics/*/step", "1", "steps of the records, which are the first axis of every dataset beside it"),
    ("diagnostics/gradient_histograms/edges/*", "1", "edges of the bins, shared by all constraints of this layer"),
    ("diagnostics/gradient_histograms/counts/*", "1", "entries of this constraint's weighted gradient in each bin"),
    ("diagnostics/gradient_histograms/std/*", "1", "standard deviation of the entries of this weighted gradient"),
    ("diagnostics/gradient_histograms/max/*", "1", "largest absolute entry of this weighted gradient"),
    ("diagnostics/hessian_spectrum/largest/*", "1", "largest eigenvalue of the Hessian of this weighted term"),
    ("diagnostics/hessian_spectrum/smallest/*", "1", "smallest eigenvalue of the Hessian of this weighted term"),
    ("diagnostics/hessian_spectrum/eigenvalues/*", "1", "eigenvalues of the Hessian of this weighted term, descending"),
    ("diagnostics/loss_landscape/values/*", "1", "this weighted term of the loss at (e1[i], e2[j]); total: their sum"),
    ("diagnostics/loss_landscape/highest", "1", "the largest loss on the plane"),
    ("diagnostics/loss_landscape/e[12]", "1", "steps along this direction"),
    ("diagnostics/loss_landscape/curvature", "1", "second derivative of the loss along each direction at the network"),
    ("diagnostics/loss_landscape/eigenvalues", "1", "the two largest eigenvalues of the Hessian of the loss"),
    ("diagnostics/loss_landscape/bounds", "1", "how far at most each of the two lies from an eigenvalue"),
    ("diagnostics/loss_landscape/sharpness", "1", "largest eigenvalue of the Hessian of the loss"),
    ("diagnostics/loss_landscape/condition_number", "1", "largest over smallest magnitude of the eigenvalues found"),
    ("diagnostics/ntk_spectrum/eigenvalues/*", "1", "eigenvalues of J J^T, J the rows sqrt(w/N) dr/dtheta, descending"),
    ("diagnostics/ntk_spectrum/trace/*", "1", "sum of the eigenvalues of J J^T"),
    ("diagnostics/gradient_alignment/score", "1", "2 |mean of the unit gradients of the constraints|^2 - 1"),
    ("diagnostics/gradient_alignment/cosine/*", "1", "cosine between the gradients of these two constraints"),
]


def describe(name: str) -> dict[str, str]:
    """Attributes ``units`` and ``description`` of the dataset called `name`; {} for a name without a known meaning."""
    for pattern, units, description in DESCRIPTIONS:
        if fnmatchcase(name, pattern):
            return {"units": units, "description": description} if units else {"description": description}
    return {}
