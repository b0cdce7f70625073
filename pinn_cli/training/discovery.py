"""Discovery of the terms of an equation from noisy measurements.

    left = sum_k c_k theta_k        u = a network with parameters w        y = measurements of u, noise sigma

Training and the choice of terms alternate (as in DeepMoD: Both, Choudhury, Sens & Kusters 2021; and in PINN-SR: Chen,
Liu & Sun 2021). The equation under the chosen terms regularises the fit, so derivatives of third order can be trusted:

    1  fit       w = argmin |(u - y) / sigma|^2, and c from the derivatives of the fit by least squares
    2  train     (w, c) = argmin |(u - y) / sigma|^2 + (N / M) |(left - sum c_k theta_k) / tau|^2, c of the chosen terms
    3  choose    among all terms of the library, by a regression from which w is eliminated (below); go on with 2
    4  again     1 to 3 with a new network that knows no terms but the chosen ones, tau large, and twice the points
    5  refine    2 with this network and a smaller and smaller tau, until a Gauss-Newton step would not change c

Up to 3, sigma and tau are the rms of the two residuals at the end of the step before: the weight of the equation grows
as far as the measurements allow. In 3 the residual vector F is linear in (w, c) near the trained network,
F + J_w dw + J_c dc. The best dw for each dc leaves

    |X c - y|^2        X = J_c - J_w (J_w^T J_w)^-1 J_w^T J_c

a linear regression in c alone, in which the network follows each choice of terms. Its least squares are the
Gauss-Newton estimate of c, with the inverse of X^T X as its covariance (variable projection: Golub & Pereyra 1973;
profile likelihood). `sparse_regression.py` chooses its columns.

Steps 4 and 5 make the coefficients of a front right. Half of the added points lie where the first network satisfies the
equation worst (residual-based sampling: Wu, Zhu, Tan, Kartha & Lu 2023). A network remembers the terms that it was
trained with: a front that a small wrong term has moved does not move back once the equation counts much, and the term
looks significant. So terms are only chosen while the equation counts little, and the new network starts without them.
Standard errors come from the last regression at many fresh points: between those of the training the equation holds
less well, and a front would seem better known than it is.

    N = measurements   M = points of the equation   P = parameters of the network   K = terms
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.methods.contracts import Batch, Optimizer, Report, Sampler
from pinn_cli.methods.corrections import focused
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.term_library import EQUATION, Candidates, Library
from pinn_cli.training.neighbours import correlation_of_neighbours, is_pattern
from pinn_cli.training.objective import Objective
from pinn_cli.training.residuals import Engine
from pinn_cli.training.sparse_regression import (
    STRONG,
    Choice,
    Regression,
    Subset,
    best_subsets,
    candidates,
    cross_validated,
    explained_by,
    scores,
)

FIRST_NOISE = 0.02  # relative to the deviation of the measurements, before the first fit
FIRST_TOLERANCE = 0.6  # tau relative to the rms of the left-hand side, before the first training with the equation
FALL, LEAST = 0.1, 1e-3  # tau falls at most by this factor at a time, and not below this part of the left-hand side
RAMP = 3  # trainings with all terms, each with a smaller tau
UNIT = 1e3  # of the trained numbers c: so large that the damping of Levenberg and Marquardt does not hold them
CONVERGED = 0.01  # relative decrease of the loss in `PATIENCE` steps, below which a training ends
PATIENCE = 5
PER_TERM = 10  # the least number of measurements for each term
NEARLY = 1e-9  # of the largest diagonal entry of J_w^T J_w, added to all: parameters of a network depend on each other
DEPENDENT = 1e-8  # smallest singular value of the terms on the data, whose columns have length 1
UNEXPLAINED = 0.25  # rms of the residual of the equation relative to the left-hand side; above, it explains too little
PATTERN = 0.5  # correlation of neighbouring residuals of the measurements; above, most of them is no noise
COARSE = 0.05  # rms of these residuals over the deviation of the measurements, from which such a pattern counts
HELD_OUT = 0.1  # of the measurements: they are not trained on, and compare the equation with a free network
SURE = 3.0  # standard errors of a mean difference of squares, from which one network is worse than another
RIVALS = 3  # other subsets that are trained; each may leave `CLOSE` of the left-hand side, or `SAME` times what the
CLOSE, SAME = 0.02, 1.1  # chosen one leaves
FAR = 10.0  # times that, from which training is given up
SOFT = 0.3  # tau of the second network, relative to the rms of the left-hand side, while terms are chosen again
HARDER = (0.1, 0.03, 0.01, 0.003)  # and while their coefficients are found
AGAIN = 3  # choices of the second network, at most
BLOCK, BLOCKS, LAST = 20, 2, 8  # steps of a training between two looks at the coefficients, looks at most, at the end
SETTLED = 0.1  # standard errors by which a further step may change a coefficient when a training ends
MOVING = 0.5  # and when the equation is claimed
FRESH = 8  # points of the equation for each parameter of the network, from which standard errors are taken

CHOOSE: dict[str, Callable[[Regression], list[Choice]]] = {
    "bic": best_subsets, "cross_validation": cross_validated
}  # fmt: skip


@dataclass(frozen=True)
class Equation:
    """Terms by their text, with coefficients and standard errors; how far score and misfit lie behind the best ones."""

    coefficients: dict[str, float]
    errors: dict[str, float]
    behind: float = 0.0
    misfit: float = 0.0


@dataclass(frozen=True)
class Discovered:
    """What was found.

    `others` explain the measurements as well as `equation`: the data do not decide. `noise` is the rms deviation of
    measurements that were left out from the solution of the equation, `free` that from a free network; `unexplained` is
    the rms of the residual relative to the left-hand side. `reasons` say why no equation is claimed; () if one is.
    """

    left: str
    equation: Equation
    others: list[Equation]
    noise: float
    free: float
    unexplained: float
    rounds: int
    reasons: tuple[str, ...]
    settled: bool

    @property
    def decided(self) -> bool:
        """Whether one equation is claimed, and no other."""
        return not self.reasons and not self.others and self.settled


@dataclass
class Discovery:
    """The parts of a discovery. `steps` are of each training, `fit_steps` of the first fit; `say` gets one line each.

    Raises UsageError for too few measurements, and for terms that depend on each other on the data.
    """

    problem: Problem
    term_library: Library
    new_model: Callable[[Problem], Any]
    engine: Engine
    new_optimizer: Callable[[], Optimizer]
    sampler: Sampler
    steps: int = 10
    fit_steps: int = 80
    rounds: int = 6
    choose: str = "bic"
    say: Callable[[str], None] = print
    candidates: Candidates = field(init=False)
    model: Any = field(init=False)
    batch: Batch = field(init=False)
    held_out: Batch = field(init=False)
    noise: dict[str, float] = field(init=False)  # of the measurements of each residual
    count: int = field(init=False)  # of the measurements that are trained on

    def run(self) -> Discovered:
        """Choose terms with one network, then find their coefficients with a second one."""
        self._prepare()
        free = self._fit()
        self._scale()
        first, chosen, number = self._choose()
        if not chosen:
            self._train(chosen, FIRST_TOLERANCE * self.rate)
            return self._conclude(first, chosen, [], free, number, settled=True)
        others = [chosen, *self._others(first, chosen)]
        free = min(free, self._begin_again(), key=rms)
        second, chosen, confirmed = self._confirm(chosen)
        others += self._near(second, chosen)
        last, converged = self._refine(chosen)
        settled = confirmed and converged and CHOOSE[self.choose](last)[0].columns == chosen
        return self._conclude(last, chosen, others, free, number, settled)

    def _choose(self) -> tuple[Regression, Subset, int]:
        """Train and choose until the choice repeats; the last regression, the terms, and the number of rounds."""
        active = tuple(range(len(self.term_library.terms)))
        seen, number = [active], 0
        tolerance = FIRST_TOLERANCE
        for number in range(1, self.rounds + 1):
            for _ in range(RAMP if number == 1 else 1):
                self._train(active, tolerance * self.rate)
                tolerance = max(self._left_over() / self.rate, FALL * tolerance, LEAST)
            regression = self._regression()
            chosen = CHOOSE[self.choose](regression)[0].columns
            self._place(regression, chosen)
            self.say(f"round {number}: {self._words(regression, chosen)}")
            repeats, active = chosen == active, chosen
            if (repeats and number > 1) or (number > 2 and active in seen):
                break
            seen.append(active)
        return regression, active, number

    def _begin_again(self) -> Tensor:
        """A new network, fitted to the measurements, and as many points again where the equation was satisfied worst.

        The first network remembers terms that it was trained with: a front that they moved hardly moves back.
        """
        generator = torch.Generator("cpu").manual_seed(0)
        points = self.batch[EQUATION]
        self.batch[EQUATION] = torch.cat([points, focused(self._objective(()), len(points), generator)])
        values = [value.detach().clone() for value in self.model.unknowns.values()]
        noise = dict(self.noise)
        self.model = self.new_model(self.candidates)
        squares = self._fit()
        self.noise = noise  # a free network fits a part of it
        with torch.no_grad():
            for value, known in zip(self.model.unknowns.values(), values, strict=True):
                value.copy_(known)
        return squares

    def _confirm(self, chosen: Subset) -> tuple[Regression, Subset, bool]:
        """Choose again while the equation counts little, until the choice repeats.

        The regression, the terms, and whether they repeated.
        """
        for _ in range(AGAIN):
            self._train_until_settled(chosen, SOFT)
            regression, active = self._regression(), chosen
            chosen = CHOOSE[self.choose](regression)[0].columns
            self._place(regression, chosen)
            self.say(f"again:   {self._words(regression, chosen)}")
            if chosen == active or not chosen:
                break
        return regression, chosen, chosen == active

    def _refine(self, chosen: Subset) -> tuple[Regression, bool]:
        """Let the equation count more and more; the last regression, and whether a further step changes nothing."""
        for tolerance in HARDER:
            ahead = self._train_until_settled(chosen, tolerance, LAST if tolerance == HARDER[-1] else BLOCKS)
        regression = self._regression()
        self.say(f"refined: {self._words(regression, chosen)}")
        return regression, ahead < MOVING

    # --- the stages -----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.candidates = Candidates(self.problem, self.term_library)
        count, terms = len(self.candidates.data), len(self.term_library.terms)
        if self.candidates.data.isnan().any():
            raise UsageError("fields were measured at different points; expected all of them at every point")
        if count < PER_TERM * terms:
            raise UsageError(f"{count} measurements for {terms} terms; expected at least {PER_TERM} for each, "
                             f"{PER_TERM * terms}: measure more, or take terms out of the library")  # fmt: skip
        self.model = self.new_model(self.candidates)
        objective = self._objective(())
        self.sampler.begin_stage(self.candidates)
        self.batch = dict(self.sampler.draw(0, self.candidates, objective))
        self._hold_out(count)
        with torch.no_grad():
            objective.begin({name: self.batch[name] for name in self._measured})
            around = objective.residuals()
        self.spread = {name: float(r.std()) for name, r in around.items()}
        self.noise = {name: FIRST_NOISE * spread for name, spread in self.spread.items()}
        if not all(self.noise.values()):
            raise UsageError("all measurements are equal: there is nothing to explain")

    def _hold_out(self, count: int) -> None:
        """Take some measurements out of the batch; residuals that share their points go on doing so."""
        order = torch.randperm(count, generator=torch.Generator("cpu").manual_seed(0)).to(self.batch[EQUATION].device)
        some, rest = order[: round(HELD_OUT * count)], order[round(HELD_OUT * count) :]
        parts = {id(self.batch[n]): (self.batch[n][some], self.batch[n][rest]) for n in self._measured}
        self.held_out = {n: parts[id(self.batch[n])][0] for n in self._measured}
        self.batch |= {n: parts[id(self.batch[n])][1] for n in self._measured}
        self.count = len(rest)

    @property
    def _measured(self) -> list[str]:
        return [c.name for c in self.candidates.measured]

    def _fit(self) -> Tensor:
        """Train the network alone; the squares of its residuals at the measurements that were left out."""
        objective = self._objective((), weights=self._weights(None))
        self._minimise(objective, {name: self.batch[name] for name in self._measured}, self.fit_steps)
        self.noise = self._deviations(objective)
        squares = self._squares(self.held_out)
        self.say(f"fit: measurements deviate by {rms(squares):.3g} (rms) from a network without an equation")
        return squares

    def _scale(self) -> None:
        """Units that make all terms as large as the left-hand side, and coefficients from the jets of the fit."""
        left, theta = self._jets()
        for text, column in zip(self.term_library.texts, theta.T, strict=True):
            if not column.isfinite().all():
                raise UsageError(f"term `{text}` is not finite where the fields are as measured; take it out")
        sizes = theta.square().mean(0).sqrt()
        self._refuse_dependent(theta / sizes.clamp_min(1e-300))
        self.rate = float(left.square().mean().sqrt())
        units = self.rate / sizes
        G, K = theta * units, len(sizes)
        ridge = 1e-3 * len(G) * self.rate**2 * torch.eye(K, dtype=G.dtype, device=G.device)
        c = torch.linalg.solve(G.T @ G + ridge, G.T @ left)
        self.candidates = Candidates(self.problem, self.term_library, UNIT * units)
        with torch.no_grad():
            for name, value in zip(self.candidates.names, (c / UNIT).tolist(), strict=True):
                self.model.unknowns[name].fill_(value)

    def _train(self, active: Sequence[int], tolerance: float) -> None:
        """Network and coefficients of the active terms together; the others are 0."""
        with torch.no_grad():
            for k, name in enumerate(self.candidates.names):
                if k not in active:
                    self.model.unknowns[name].zero_()
        self.tolerance = tolerance
        objective = self._objective(active, self._weights(tolerance))
        self._minimise(objective, self.batch, self.steps)
        self.noise = self._deviations(objective)

    def _train_until_settled(self, active: Subset, tolerance: float, blocks: int = BLOCKS) -> float:
        """Train until a Gauss-Newton step would change no coefficient much; the largest change in standard errors."""
        with torch.no_grad():
            for k, name in enumerate(self.candidates.names):
                if k not in active:
                    self.model.unknowns[name].zero_()
        optimizer, ahead = self.new_optimizer(), float("inf")
        for _ in range(blocks):
            self.tolerance = tolerance * self.rate
            objective = self._objective(active, self._weights(self.tolerance))
            stop = any(self._step(optimizer, objective, self.batch, number).stop for number in range(BLOCK))
            ahead = self._ahead(active)
            if stop or ahead < SETTLED:
                break
        self.noise = self._deviations(self._objective(()))
        return ahead

    def _ahead(self, active: Subset) -> float:
        """The largest change of a coefficient by a Gauss-Newton step, in its standard errors."""
        if not active:
            return 0.0
        regression, at = self._regression(), list(active)
        c, covariance = regression.solve(active)
        errors = (regression.variance() * covariance.diagonal()).sqrt()
        now = torch.stack([self.model.unknowns[name].detach() for name in self.candidates.names])
        return float(((c - now * self.candidates.units.to(c)).abs()[at] / errors).max())

    def _regression(self) -> Regression:
        """The regression for all terms, in units of the coefficients, from which the network is eliminated."""
        self.tolerance = max(self._left_over(), LEAST * self.rate)
        names = self.candidates.names
        objective = self._objective(range(len(names)), self._weights(self.tolerance))
        objective.begin(self.batch)
        linear = objective.linearise()
        rows = self.count**0.5  # the loss is a mean over the measurements
        sizes = {n: len(objective.batch[n]) for n in objective.constraints if n in objective.batch}
        equation = torch.cat([torch.full((size,), n == EQUATION, device="cpu") for n, size in sizes.items()])
        order = equation.to(torch.int8).argsort(stable=True).to(linear.F.device)  # measurements first
        J, F = rows * linear.dense()[order], rows * linear.F[order]
        columns = [objective.layout[f"unknowns.{name}"].start for name in names]
        c = torch.stack([self.model.unknowns[name].detach() for name in names])
        return eliminate(J, F, columns, c, self.candidates.units.to(c), int((~equation).sum()))

    def _place(self, regression: Regression, chosen: Sequence[int]) -> None:
        """The coefficients of the regression go into the model."""
        c = regression.solve(chosen)[0] / self.candidates.units.to(regression.X)
        with torch.no_grad():
            for name, value in zip(self.candidates.names, c.tolist(), strict=True):
                self.model.unknowns[name].fill_(value)

    # --- what they use --------------------------------------------------------------------------------------------

    def _objective(self, active: Sequence[int], weights: dict[str, float] | None = None) -> Objective:
        """The objective in which the network and the coefficients of the active terms are trained."""
        for k, name in enumerate(self.candidates.names):
            self.model.unknowns[name].requires_grad_(k in active)
        return Objective(self.candidates, self.model, self.engine, lambda *_: {}, weights)

    def _weights(self, tolerance: float | None) -> dict[str, float]:
        """Squares in standard deviations, and means over the measurements: the loss is near 1 + M / N in the end."""
        weights = {name: 1 / s**2 for name, s in self.noise.items()}
        if tolerance is not None:
            share = len(self.batch[EQUATION]) / self.count
            weights[EQUATION] = share / tolerance**2
        return weights

    def _minimise(self, objective: Objective, batch: Batch, steps: int) -> None:
        """Steps of a new optimizer, until the loss hardly falls."""
        optimizer, losses = self.new_optimizer(), []
        for number in range(steps):
            report = self._step(optimizer, objective, batch, number)
            losses.append(float(report.values["loss/total"]))
            if report.stop or (number >= PATIENCE and losses[-1 - PATIENCE] < (1 + CONVERGED) * losses[-1]):
                return

    def _step(self, optimizer: Optimizer, objective: Objective, batch: Batch, number: int) -> Report:
        objective.begin(batch, step=number)
        report = optimizer.step(objective)
        loss = float(report.values["loss/total"])
        if not loss < float("inf"):
            raise TrainingError(f"the loss is {loss}: the network does not fit the measurements")
        return report

    def _deviations(self, objective: Objective) -> dict[str, float]:
        with torch.no_grad():
            return {n: float(objective.residual(n, self.batch[n]).square().mean().sqrt()) for n in self._measured}

    def _squares(self, batch: Batch) -> Tensor:
        """The squares (n,) of all residuals of some measurements, one after the other."""
        objective = self._objective(())
        with torch.no_grad():
            return torch.cat([objective.residual(name, batch[name]).square() for name in self._measured])

    def _left_over(self) -> float:
        """The rms of the residual of the equation at its points."""
        objective = self._objective(())
        with torch.no_grad():
            return float(objective.residual(EQUATION, self.batch[EQUATION]).square().mean().sqrt())

    def _jets(self) -> tuple[Tensor, Tensor]:
        """The left-hand side (M,) and all terms (M, K) of the network, at the points of the equation."""
        values = self._objective(()).at.symbols(EQUATION, self.batch[EQUATION])
        return values[self.term_library.left], self.term_library.theta(values)

    def _refuse_dependent(self, theta: Tensor) -> None:
        """Refuse terms that vanish or depend on each other at all points of the fitted network (UsageError)."""
        _, sizes, directions = torch.linalg.svd(theta, full_matrices=False)
        if float(sizes[-1]) > DEPENDENT * float(sizes[0]):
            return
        weight = directions[-1].abs()
        weighed = zip(self.term_library.texts, weight.tolist(), strict=True)
        named = [text for text, w in weighed if w > 1e-3 * float(weight.max())]
        raise UsageError(f"the terms {', '.join(named)} are linearly dependent on the data; take one of them out of "
                         "the library")  # fmt: skip

    # --- the conclusion -------------------------------------------------------------------------------------------

    def _others(self, regression: Regression, chosen: Subset) -> list[Subset]:
        """Other subsets that explain the measurements as well as the chosen one, near this network or trained."""
        trained = self._trained_rivals(chosen, self._left_over() / self.rate)
        return self._near(regression, chosen) + trained

    def _near(self, regression: Regression, chosen: Subset) -> list[Subset]:
        """The rivals of the chosen subset in a regression."""
        return [choice.columns for choice in rivals(scores(regression)(chosen), best_subsets(regression))]

    def _conclude(
        self, regression: Regression, chosen: Subset, others: list[Subset], free: Tensor, rounds: int, settled: bool
    ) -> Discovered:
        score, between = scores(regression), self._between()
        best = score(chosen)
        unlike = [other for other in dict.fromkeys(others) if not set(other) >= set(chosen)]
        squares, unexplained = self._squares(self.held_out), self._left_over() / self.rate
        reasons = []
        if not chosen:
            reasons.append("no term of the library is significant")
        elif unexplained > UNEXPLAINED:
            reasons.append(f"the best equation leaves {unexplained:.0%} of {self.term_library.left}")
        if worse(squares, free) > SURE:
            reasons.append(f"measurements that were left out deviate by {rms(squares):.2g} from its solution, and by "
                           f"{rms(free):.2g} from a network without an equation")  # fmt: skip
        reasons += self._patterns()
        return Discovered(
            self.term_library.left,
            self._equation(regression, between, best, best),
            [self._equation(regression, between, score(other), best) for other in unlike],
            rms(squares),
            rms(free),
            unexplained,
            rounds,
            tuple(reasons),
            settled,
        )

    def _patterns(self) -> list[str]:
        """What says that the network does not follow the measurements: most of what it leaves of them is no noise."""
        objective, found = self._objective(()), []
        for c in self.candidates.measured:
            X = self.batch[c.name]
            with torch.no_grad():
                r = objective.residual(c.name, X)
            alike, part = correlation_of_neighbours(self.problem, X, r), rms(r.square()) / self.spread[c.name]
            if alike > PATTERN and part > COARSE and is_pattern(alike, len(X)):
                size = f"{part:.0%} of its deviation, are alike at neighbouring points (correlation {alike:.2f})"
                found.append(f"the residuals of {c.name}, {size}: network or equation do not follow the measurements")
        return found

    def _trained_rivals(self, best: Subset, unexplained: float) -> list[Subset]:
        """Other subsets under which the network, trained with them, explains the measurements as well.

        The regression compares subsets near the network of the chosen one, which may satisfy only its own equation.
        """
        state, chosen = copy.deepcopy(self.model.state_dict()), self._squares(self.batch)
        noise, found = dict(self.noise), []
        for columns, c in self._explaining(best):
            self.model.load_state_dict(state)
            with torch.no_grad():
                for name, value in zip(self.candidates.names, (c / self.candidates.units).tolist(), strict=True):
                    self.model.unknowns[name].fill_(value)
            self.noise, tolerance = dict(noise), max(self._left_over() / self.rate, LEAST)
            most, left = max(CLOSE, SAME * unexplained), tolerance
            for _ in range(2):
                if left > FAR * most:
                    break
                self._train(columns, tolerance * self.rate)
                left = self._left_over() / self.rate
                tolerance = max(left, FALL * tolerance, LEAST)
            if left <= most and worse(self._squares(self.batch), chosen) <= SURE:
                found.append(columns)
        self.model.load_state_dict(state)
        self.noise = noise
        return found

    def _explaining(self, best: Subset) -> list[tuple[Subset, Tensor]]:
        """The subsets that explain the left-hand side of the network best, and their coefficients (K,).

        They do not contain the best one or each other, and have at most one term more than it.
        """
        left, theta = self._jets()
        jets = Regression(theta, left, len(left))
        squares, explained = float(left.square().sum()), explained_by(jets)
        unexplained = {
            columns: (1 - explained(columns) / squares) for columns in candidates(jets)
            if 0 < len(columns) <= len(best) + 1 and not set(columns) >= set(best)
        }  # fmt: skip
        close = [columns for columns, left in unexplained.items() if left <= UNEXPLAINED**2]
        least = [columns for columns in close if not any(set(columns) > set(other) for other in close)]
        return [(c, jets.solve(c)[0].cpu()) for c in sorted(least, key=lambda c: unexplained[c])[:RIVALS]]

    def _between(self) -> Regression:
        """The regression with many fresh points of the equation: it holds less well between those of the training."""
        points, generator = self.batch[EQUATION], torch.Generator("cpu").manual_seed(1)
        count = FRESH * sum(parameter.numel() for parameter in self.model.parameters())
        self.batch[EQUATION] = fresh_points(self.candidates, "interior", count, generator, points)
        regression = self._regression()
        self.batch[EQUATION] = points
        return regression

    def _equation(self, regression: Regression, between: Regression, choice: Choice, best: Choice) -> Equation:
        """The coefficients of the one regression with the standard errors of the other."""
        c, covariance = regression.solve(choice.columns)[0], between.solve(choice.columns)[1]
        errors = (between.variance() * covariance.diagonal()).sqrt().tolist()
        texts = [self.term_library.texts[k] for k in choice.columns]
        values = c[list(choice.columns)].tolist()
        return Equation(
            dict(zip(texts, values, strict=True)),
            dict(zip(texts, errors, strict=True)),
            choice.score - best.score,
            choice.misfit - best.misfit,
        )

    def _words(self, regression: Regression, chosen: Sequence[int]) -> str:
        c = regression.solve(chosen)[0].tolist()
        right = " ".join(f"{c[k]:+.4g} {self.term_library.texts[k]}" for k in chosen) or "0"
        return f"{self.term_library.left} = {right}"


def eliminate(J: Tensor, F: Tensor, columns: Sequence[int], c: Tensor, units: Tensor, observations: int) -> Regression:
    """The regression in the coefficients units * c alone, from F (n,) and J (n, P + K); c is in these columns of J.

    The first `observations` rows are measurements. Of their degrees of freedom the network takes the trace over these
    rows of J_w (J_w^T J_w)^-1 J_w^T.
    """
    others = torch.ones(J.shape[1], dtype=torch.bool, device=J.device)
    others[list(columns)] = False
    Jw, Jc = J[:, others], J[:, list(columns)] / units
    A = Jw.T @ Jw
    A.diagonal().add_(NEARLY * float(A.diagonal().max()))
    factor = torch.linalg.cholesky(A)
    both = torch.cat([Jc, F[:, None]], 1)
    both = both - Jw @ torch.cholesky_solve(Jw.T @ both, factor)
    X, r = both[:, :-1], both[:, -1]
    taken = torch.linalg.solve_triangular(factor, Jw[:observations].T, upper=False).square().sum()
    return Regression(X, X @ (units * c) - r, observations, float(taken))


def rivals(best: Choice, choices: Sequence[Choice]) -> list[Choice]:
    """Other subsets that explain the data as well as the best one, none of them with all its columns, or with those of
    another rival: the score, or the misfit with at most one more column, is within `STRONG`."""
    found: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (len(choice.columns), choice.score)):
        has = set(choice.columns)
        if has >= set(best.columns) or any(has >= set(other.columns) for other in found):
            continue
        as_good = choice.misfit - best.misfit <= STRONG and len(has) <= len(best.columns) + 1
        if choice.score - best.score <= STRONG or as_good:
            found.append(choice)
    return sorted(found, key=lambda choice: choice.score)


def worse(squares: Tensor, others: Tensor) -> float:
    """By how many of its standard errors the mean of the squares (n,) is above that of the others, pair by pair."""
    difference = squares - others
    return float(difference.mean() / (difference.std() / len(difference) ** 0.5).clamp_min(1e-300))


def rms(squares: Tensor) -> float:
    """The root of the mean of squares."""
    return float(squares.mean().sqrt())
