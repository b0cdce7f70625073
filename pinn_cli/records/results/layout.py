"""The layout of the results file: the only place that says what its attributes and datasets are.

Validation, the attributes `description` and `units` of each dataset, and the tables of docs/results_file.md come from
it; ``python benchmarks/tables.py`` writes those tables.

`<x>` in a name stands for any text. The first entry whose name fits counts. Axes: R rows or records, N points,
D coordinates, K stages, S runs of a sweep, I instances of a family, U trained coefficients; "..." stands for any
further axes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

FORMAT = "pinn-results 2"
TEXT, INTEGER, NUMBER = "text", "integer", "number"
STATUS, JSON, THREADS = "status", "JSON", "1 to 4096"  # further kinds of attributes


@dataclass(frozen=True)
class Entry:
    """A dataset: its name, the kind of its values, its axes, its unit ("": none) and what it is."""

    name: str
    kind: str
    axes: tuple[str, ...]
    unit: str
    sentence: str


ROW, ROWS, POINTS, RUNS = ("R",), ("R", "..."), ("N", "D"), ("S",)

ATTRIBUTES = {  # of the file: the kind of the value, and what it is
    "format": (TEXT, f"`{FORMAT}`"),
    "pinn_version": (TEXT, "version of the package that created the file"),
    "problem": (TEXT, "name of the problem"),
    "status": (STATUS, "running, finished, stopped or failed"),
    "reason": (TEXT, "why the run ended"),
    "steps": (INTEGER, "accepted steps when the run last ended or stopped"),
    "seed": (INTEGER, "seed of all random numbers"),
    "device": (TEXT, "device of the tensors, at the start"),
    "dtype": (TEXT, "floating-point type of the tensors"),
    "threads": (THREADS, "CPU threads of torch, since the last start or resume"),
    "machine": (TEXT, "name, processor and GPU of the machine, at the start"),
    "versions": (JSON, "versions of Python and of the libraries, at the start"),
    "commit": (TEXT, "git commit of the package at the start; if its files differed from it, + and a hash of how"),
    "started": (TEXT, "time at which the run started (ISO 8601)"),
    "finished": (TEXT, "time at which it last ended (ISO 8601)"),
    "command": (TEXT, "the command that starts this run: pinn train and its words"),
    "project": (TEXT, "the folder of the user's own modules, if the run has some"),
    "inputs": (TEXT, "short hash of the problem's coefficients and measurements, which may come from no file"),
    "source": (TEXT, "short hash of everything in /source and /data: runs of one hash had the same text and data"),
}

DATASETS = (  # problems are dimensionless as typed, so only times have a unit other than 1
    Entry("config", TEXT, (), "", "resolved configuration of the run (YAML)"),
    Entry("begun", TEXT, (), "", "configuration before `pinn resume RUN key=value` changed it (YAML)"),
    Entry("source/<module>", TEXT, (), "",
          "source of a problem's module and of each own module that was imported, as trained; attributes sha256, file"),
    Entry("source_before/<k>/<module>", TEXT, (), "", "what `pinn resume --changed` replaced, k-th time: text or data"),
    Entry("data", TEXT, (), "", "data files that the run has read: SHA-256 and path, a line each (as of sha256sum)"),
    Entry("resumed", TEXT, ("K",), "", "each resume: when, device, threads, machine, versions, commit (JSON)"),
    Entry("stages", TEXT, ("K",), "", "names of the stages; history/stage is an index into them"),
    Entry("history/step", INTEGER, ROW, "1", "accepted steps of the run, all stages together"),
    Entry("history/time", NUMBER, ROW, "s", "duration of the run: training from the first step on, all resumes added"),
    Entry("history/stage", INTEGER, ROW, "1", "index into stages"),
    Entry("history/underway", INTEGER, ROW, "1", "1 in an easier problem on the way, or an earlier window; else 0"),
    Entry("history/loss/total", NUMBER, ROW, "1", "what was minimised: sum over constraints of weight * mean(r^2)"),
    Entry("history/loss/<constraint>", NUMBER, ROW, "1", "mean(r^2) over the points of this constraint, unweighted"),
    Entry("history/weight/<constraint>", NUMBER, ROW, "1", "mean weight of this constraint in force at this step"),
    Entry("history/guard/<constraint>", NUMBER, ROW, "1",
          "held-out over trained rms residual; far above 1 means overfitting to the points"),
    Entry("history/error/<field>", NUMBER, ROW, "1",
          "relative L2 error of this field on the reference points of the stage's problem: in time marching of the "
          "current window alone, also in the last one (error/<field> is that of all windows); where a whole family is "
          "trained, the mean over validation instances"),
    Entry("history/estimated_error/<name>", NUMBER, ROW, "1",
          "estimated relative L2 error of this field, or relative error of this trained coefficient"),
    Entry("history/estimate/explained", NUMBER, ROW, "1",
          "share of the residual at unseen points that du removes; NaN: only rounding errors are there"),
    Entry("history/estimate/trusted", NUMBER, ROW, "1",
          "1: the estimated error may be trusted; 0: it is rough, a lower bound or no guide"),
    Entry("history/unexplained", NUMBER, ROW, "1",
          "strategy=correction: share of the residual at unseen points, before its first round, that is left"),
    Entry("history/solver/<name>", NUMBER, ROW, "1",
          "architecture=constrained, the last solve: steps, residual and condition, the largest of its instances, and "
          "how many of them have not_converged"),
    Entry("history/metric/<name>", NUMBER, ROW, "1", "metric of the problem"),
    Entry("history/unknown/<name>", NUMBER, ROW, "1", "value of this trained coefficient"),
    Entry("history/alignment", NUMBER, ROW, "1", "alignment score of the gradients, from -1 (opposed) to 1 (parallel)"),
    Entry("history/sharpness", NUMBER, ROW, "1", "largest eigenvalue of the Hessian of the loss"),
    Entry("history/condition_number", NUMBER, ROW, "1", "largest over smallest magnitude of the Hessian eigenvalues"),
    Entry("history/learning_rate", NUMBER, ROW, "1", "learning rate of the optimizer"),
    Entry("history/damping", NUMBER, ROW, "1",
          "damping of the step: levenberg_marquardt, newton, energy_natural_gradient, spring"),
    Entry("history/<name>", NUMBER, ROW, "1", "value reported by the optimizer or the weighting"),
    Entry("fields/points", NUMBER, POINTS, "1",
          "points of prediction and reference; attribute coordinates names the columns"),
    Entry("fields/prediction/<field>", NUMBER, ("N",), "1", "value of the trained network at fields/points"),
    Entry("fields/reference/<field>", NUMBER, ("N",), "1", "reference value at fields/points"),
    Entry("residuals/<constraint>/points", NUMBER, POINTS, "1",
          "points: a grid in the interior, the training points elsewhere"),
    Entry("residuals/<constraint>/values", NUMBER, ("N",), "1", "residual r of this constraint there, unweighted"),
    Entry("measurements/<constraint>/data", NUMBER, ("N",), "1", "measured values at residuals/<constraint>/points"),
    Entry("measurements/<constraint>/fit", NUMBER, ("N",), "1", "what the trained network gives there"),
    Entry("collocation/<constraint>", NUMBER, POINTS, "1",
          "last training points of this constraint; diagnostics=points keeps earlier ones of the interior, too"),
    Entry("error/<field>", NUMBER, (), "1",
          "relative L2 error |u - reference| / |reference| on the reference points; attributes mean_absolute, "
          "max_absolute, reference_error (error of the reference itself), points (how many counted); extrapolated_from "
          "(the time from which on no window was trained) if a run has stopped on the way"),
    Entry("instances/seed", INTEGER, ("I",), "1", "seeds of the test instances, where a whole family was trained"),
    Entry("instances/error/<field>", NUMBER, ("I",), "1",
          "relative L2 error of this field for each of them; error/<field> is then their mean"),
    Entry("instances/seconds", NUMBER, ("I",), "s",
          "to find the coefficients of each of them alone; NaN where it was not measured"),
    Entry("instances/steps", NUMBER, ("I",), "1", "steps of the solver for that; 0 if nothing is solved"),
    Entry("instances/shown/seed", INTEGER, ("K",), "1", "those with the least, the median and the largest error"),
    Entry("instances/shown/points", NUMBER, POINTS, "1", "points of their fields; attribute coordinates"),
    Entry("instances/shown/prediction/<field>", NUMBER, ("K", "N"), "1", "predicted field of each"),
    Entry("instances/shown/reference/<field>", NUMBER, ("K", "N"), "1", "reference of each"),
    Entry("instances/shown/parameter/<name>", NUMBER, ("K", "..."), "1",
          "random parameter of each: a number, or the values of a coefficient field at these points"),
    Entry("instances/failure", TEXT, ("I",), "", "why the network has not solved an instance; empty where it has"),
    Entry("error_estimate/error/<field>", NUMBER, (), "1",
          "estimated relative L2 error |du| / |u + du|, without a reference, on the points of fields/points"),
    Entry("error_estimate/explained", NUMBER, (), "1",
          "share of the residual at unseen points that du removes; below 0.4 the error is a lower bound, unless du is "
          "the difference of two solutions; NaN: only rounding errors are there"),
    Entry("error_estimate/peaks", NUMBER, (), "1",
          "the same share of the few largest residuals in the interior; below 0.4 the error is a lower bound, too"),
    Entry("error_estimate/common", NUMBER, (), "1",
          "where du is the difference of two solutions: correlation of their residuals in the interior; above 0.6 the "
          "error is a lower bound"),
    Entry("error_estimate/at_once/<field>", NUMBER, (), "1",
          "where the error is that of windows in time: the smaller one by a single correction of the whole time"),
    Entry("error_estimate/trust", TEXT, (), "", "how far the estimate can be trusted, in words"),
    Entry("error_estimate/unknown/<name>", NUMBER, (), "1", "estimated relative error of this trained coefficient"),
    Entry("error_estimate/correction/<field>", NUMBER, ("N",), "1",
          "du at fields/points: what the linearised equations add to the prediction, or a second solution minus it"),
    Entry("error_estimate/lines", TEXT, ("K",), "", "the estimate in words, or why there is none"),
    Entry("metrics/<name>", NUMBER, (), "1", "metric of the problem"),
    Entry("guard/verdict", TEXT, (), "", "what the residuals at held-out points say about the solution"),
    Entry("guard/ratio/<constraint>", NUMBER, (), "1", "held-out over trained rms residual of this constraint"),
    Entry("guard/relative/<constraint>", NUMBER, (), "1", "held-out residual relative to the largest term"),
    Entry("guard/biased/<constraint>", NUMBER, (), "1",
          "mean residual of measurements relative to their variation; 0 where noise explains it"),
    Entry("guard/estimated/<field>", NUMBER, (), "1", "estimated error relative to the variation of the field"),
    Entry("unknowns/<name>", NUMBER, (), "1",
          "trained coefficient; after time marching the mean over the windows, weighted by their lengths, and as "
          "`<name> spread` the largest minus the smallest value in a window; attributes standard_error, low and high "
          "(95 % interval), floor (the smallest standard error that these measurements allow), determined; where the "
          "problem says the truth: truth, relative_error, relative_floor, floors (the error over the floor), inside (1 "
          "if the interval holds the truth, or 0)"),
    Entry("unknown_fields/<field>/points", NUMBER, POINTS, "1",
          "grid of the own coordinates of this unknown field; attribute coordinates"),
    Entry("unknown_fields/<field>/value", NUMBER, ("N",), "1",
          "the field there; where the problem says the truth: attributes relative_error (L2), covered (share of the "
          "points at which the truth is within two standard errors)"),
    Entry("unknown_fields/<field>/truth", NUMBER, ("N",), "1", "its true value there, where the problem says it"),
    Entry("unknown_fields/<field>/standard_error", NUMBER, ("N",), "1", "its standard error there"),
    Entry("unknown_fields/<field>/floor", NUMBER, ("N",), "1",
          "the smallest standard error there, if the equations held exactly"),
    Entry("uncertainty/correlation", NUMBER, ("U", "U"), "1",
          "correlation of the trained coefficients; attribute names has their names"),
    Entry("uncertainty/noise/<constraint>", NUMBER, (), "1",
          "standard deviation of the noise of these residuals; attributes known, measurements, fitted (degrees of "
          "freedom that the fit takes), rms (of the residuals), neighbours (correlation of each with that of the "
          "nearest other measurement)"),
    Entry("uncertainty/tolerance/<constraint>", NUMBER, (), "1",
          "rms residual, in natural units, that counts as one standard deviation of this equation as prior knowledge"),
    Entry("uncertainty/lines", TEXT, ("K",), "", "the uncertainty in words, or why there is none"),
    Entry("profiles/<unknown>/value", NUMBER, ("K",), "1",
          "written by pinn diagnose --profile: values at which this coefficient was held; attributes low and high (95 "
          "% interval, infinite where it is open, NaN where the first refit has not settled), gauss_newton_low, "
          "gauss_newton_high, threshold, estimate"),
    Entry("profiles/<unknown>/deviance", NUMBER, ("K",), "1",
          "rise of -2 log of the posterior density there, everything else fitted anew"),
    Entry("profiles/<unknown>/settled", NUMBER, ("K",), "1", "1 if this refit had settled, or 0"),
    Entry("profiles/<unknown>/lines", TEXT, ("L",), "", "the interval in words, and what is to be said of it"),
    Entry("windows/<name>", NUMBER, ("K",), "1", "after time marching: this trained coefficient in each window"),
    Entry("seams/time", NUMBER, ("K-1",), "1", "times at which one window ends and the next one starts"),
    Entry("seams/<condition>", NUMBER, ("K-1",), "1", "largest jump there in this initial condition"),
    Entry("network/windows", NUMBER, ("K", "..."), "1", "after time marching: where each window starts and ends"),
    Entry("network/<parameter>", NUMBER, ("...",), "1",
          "parameter or buffer of the model; after time marching pieces.<k>.<parameter> of window k"),
    Entry("timing/duration", NUMBER, (), "s",
          "duration of the run: training from the first step on, all resumes added, without compilation"),
    Entry("timing/process", NUMBER, (), "s",
          "from the start of the process to the end of writing, imports included; other runs of the process, too"),
    Entry("timing/<phase>", NUMBER, (), "s", "time in this phase, all resumes added"),
    Entry("diagnostics/<name>/step", NUMBER, ROW, "1", "steps of the records: the first axis of every dataset beside"),
    Entry("diagnostics/<name>/<quantity>", NUMBER, ROWS, "1", "one entry per record; described by the diagnostic"),
)  # fmt: skip

COLLECTION = (  # further datasets of a file made by `pinn collect`; runs/<number> holds the groups of each run
    Entry("table/settings/<key>", TEXT, RUNS, "", "value typed for each run, in the order of table/number"),
    Entry("table/number", INTEGER, RUNS, "1", "numbers of the runs: run k lies in runs/k"),
    Entry("table/state", TEXT, RUNS, "", "status of each run"),
    Entry("table/note", TEXT, RUNS, "", "why a run failed, stopped or was refused"),
    Entry("table/seconds", NUMBER, RUNS, "s", "duration of each run; NaN: none"),
    Entry("table/source", TEXT, RUNS, "", "short hash of the text and data that each run has trained; empty: none"),
    Entry("table/steps", INTEGER, RUNS, "1", "accepted steps of each run; -1: none"),
    Entry("table/error/<field>", NUMBER, RUNS, "1", "relative L2 error of this field for each run; NaN: none"),
    Entry("table/metric/<name>", NUMBER, RUNS, "1", "metric of the problem for each run; NaN: none"),
)


def fits(pattern: str, name: str) -> bool:
    """Whether a name is of a pattern such as ``largest/<term>``."""
    return _expression(pattern).fullmatch(name) is not None


@cache
def entry(name: str) -> Entry | None:
    """The entry of a dataset; None for a name that is not in the layout."""
    return next((one for one in (*DATASETS, *COLLECTION) if fits(one.name, name)), None)


def describe(name: str) -> dict[str, str]:
    """The attributes `description` and `units` of the dataset called `name`; {} if it is not in the layout."""
    known = entry(name)
    return {} if known is None else described(known.sentence, known.unit)


def described(sentence: str, unit: str = "1") -> dict[str, str]:
    """The attributes of a dataset with this meaning."""
    return {"units": unit, "description": sentence} if unit else {"description": sentence}


def described_by(datasets: Mapping[str, str], name: str) -> dict[str, str]:
    """The attributes of a quantity of a diagnostic, which describes its own datasets by pattern; {} for none."""
    return next((described(sentence) for pattern, sentence in datasets.items() if fits(pattern, name)), {})


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(".+" if part.startswith("<") else re.escape(part)
                              for part in re.split(r"(<[^>]+>)", pattern)))  # fmt: skip
