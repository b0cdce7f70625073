"""A compiled step has the numbers of an eager one, whatever changes from one call to the next.

Graphs are traced in these tests, and not translated to C++, which takes most of the time.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest
import torch

from pinn_cli import cli
from pinn_cli.basics.errors import FINISHED, TrainingError, UsageError
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.architectures.modified_mlp import ModifiedMLP
from pinn_cli.methods.optimizers.adam import Adam
from pinn_cli.methods.optimizers.schedules import Exponential
from pinn_cli.physics.domains import Interval
from pinn_cli.physics.problem import Problem, on
from pinn_cli.physics.unknowns import Unknown
from pinn_cli.records.results import Results
from pinn_cli.training import compilation
from pinn_cli.training.compiled_step import CompiledStep, as_one_vector, layout_of
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from tests.conftest import SMALL


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """The graphs that were compiled: whether torch checks each before its calls."""
    compiled, inner = [], torch.compile

    def checked(function, **options):
        compiled.append(True)
        return inner(function, **options, backend="aot_eager")

    def traced(graph, tensors, options):
        compiled.append(False)
        return graph

    monkeypatch.setattr(torch, "compile", checked)
    monkeypatch.setattr(torch._inductor, "compile", traced)
    return compiled


@dataclass
class Decay(Problem):
    """u_x = -k u, u(0) = 1, u(1) = 0.5, with an unknown k and one equation more; a graph is traced within a second."""

    coordinates = ("x",)
    fields = ("u",)
    unknowns: dict = field(default_factory=lambda: {"k": 0.5})

    def __post_init__(self):
        self.domain = Interval(x=(0, 1))

    @on("interior")
    def pde(self, u, u_x, k):
        return u_x + k * u

    @on("interior")
    def bounded(self, u):
        return 0.1 * u**3

    @on("x=0")
    def start(self, u):
        return u - 1

    @on("x=1")
    def end(self, u):
        return u - 0.5


def objective_of(compiled, weighting=lambda batch, residuals: {}, problem=None, network=None, dtype=torch.float64):
    torch.manual_seed(0)
    problem, network = problem or Decay(), network or MLP(inputs=1, outputs=1, width=5, depth=1)
    model = Model(Features(problem.domain), network, problem.unknowns).to(dtype)
    objective = Objective(problem, model, Taylor, weighting, {"start": 10.0})
    objective.at.compiling = nullcontext if compiled else None
    points = {r: problem.domain.sample(r, torch.rand(n, 1, dtype=dtype)) for r, n in
              {"interior": 7, "x=0": 4, "x=1": 4}.items()}  # fmt: skip
    objective.begin({c.name: points[c.region] for c in problem.constraints()})
    return objective


def by_hand(batch, residuals):
    """Weights of both kinds: a number, and one per point."""
    return {"pde": torch.linspace(1, 3, len(residuals["pde"]), dtype=torch.float64), "end": 7.0}


def both(weighting=lambda batch, residuals: {}):
    """An eager objective and a compiled one, with the rule of Adam, and two optimizers."""
    pair = [objective_of(on, weighting) for on in (False, True)]
    optimizers = [Adam(1e-2, Exponential(0.5, 2)) for _ in pair]
    for objective, optimizer in zip(pair, optimizers, strict=True):
        objective.at.rule = optimizer.rule(objective)
    return pair, optimizers


def assert_same_steps(pair, optimizers, count=2):
    for _ in range(count):
        losses = [o.step(objective).values["loss/total"] for o, objective in zip(optimizers, pair, strict=True)]
        torch.testing.assert_close(*losses, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(*(o.flat(o.parameters).detach() for o in pair), rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(*(o.moments for o in optimizers), rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(*(o.losses() for o in pair), rtol=1e-10, atol=1e-12)
        for objective in pair:
            objective.begin(objective.batch)


def test_one_graph_makes_the_steps_of_adam_gives_gradients_of_terms_and_reads_what_has_changed(made):
    """Compiled in a call without a gradient mode; one test, since a graph takes seconds."""
    pair, optimizers = both()
    versions = [p._version for p in pair[1].parameters]
    with torch.no_grad():
        optimizers[1].step(pair[1])
    optimizers[0].step(pair[0])
    for objective in pair:
        objective.begin(objective.batch)
    assert_same_steps(pair, optimizers, 4)
    assert all(p._version > v for p, v in zip(pair[1].parameters, versions, strict=True)), "kept values rely on it"
    # Gradients of the terms come from the same graph and move nothing.
    theta, moments = pair[1].flat(pair[1].parameters).detach(), [m.clone() for m in optimizers[1].moments]
    one, other = (o.gradients() for o in pair)
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    assert torch.equal(pair[1].flat(pair[1].parameters).detach(), theta)
    assert all(map(torch.equal, optimizers[1].moments, moments))
    assert_same_steps(pair, optimizers)
    # Parameters and buffers are read at each call: a resume, a line search, or features that move.
    for objective in pair:
        objective.place(torch.linspace(-0.3, 0.3, objective.columns[-1].stop, dtype=torch.float64))
        objective.model.features.scale.mul_(1.5)
        objective.model.features.shift = objective.model.features.shift + 0.1
    assert_same_steps(pair, optimizers)
    # Another rule than that of the graph moves by its gradient.
    optimizers[1].betas = optimizers[0].betas = (0.5, 0.6)
    assert_same_steps(pair, optimizers)
    assert made == [False]


@pytest.mark.parametrize("gate", ["paper", "code", "legacy"])
def test_a_gated_network_is_one_operation_of_a_step_but_for_the_legacy_gate(gate, monkeypatch):
    """Of each set of points, with parts of the vector of all parameters, beside which an unknown is trained."""
    graphs, pair = [], []
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, tensors, options: graphs.append(graph) or graph)
    for compiled in (False, True):
        network = ModifiedMLP(inputs=1, outputs=1, width=5, depth=2, gate=gate)
        pair.append(objective_of(compiled, network=network, dtype=torch.float32))
        pair[-1].model.load_state_dict(pair[0].model.state_dict())
    loss, gradient = zip(*(o.differentiated() for o in pair), strict=True)
    torch.testing.assert_close(*loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(*gradient, rtol=1e-4, atol=1e-5)
    (graph,) = graphs
    targets = [str(node.target) for node in graph.graph.nodes]
    count = 0 if gate == "legacy" else 3
    assert [targets.count(f"pinn.{name}.default") for name in ("layers", "layers_backward")] == [count, count]


@pytest.mark.slow
def test_another_number_of_points_has_a_graph_for_any_number(made):
    """Numbers of points that grow and shrink again, with weights that are numbers or one per point."""
    pair, optimizers = both(by_hand)
    domain, first = pair[0].problem.domain, dict(pair[0].batch)
    for n in (9, 7, 12, 30, 7):
        X = domain.sample("interior", torch.rand(n, 1, dtype=torch.float64))
        interior = {"pde": X, "bounded": X}
        for objective in pair:
            objective.begin({name: interior.get(name, at) for name, at in first.items()})
        assert_same_steps(pair, optimizers, 1)
    assert made == [False, True]


def test_a_graph_that_is_wrong_is_found_before_it_is_used(monkeypatch):
    """By a tenth in the gradient of one bias, as torch 2.13 has made it."""

    def wrong(graph, tensors, options):
        def step(*tensors):
            gradient, *others = graph(*tensors)
            gradient[5:10] *= 1.1
            return [gradient, *others]

        return step

    monkeypatch.setattr(torch._inductor, "compile", wrong)
    objective = objective_of(True)
    theta = objective.flat(objective.parameters).detach().clone()
    with pytest.raises(TrainingError, match=r"the gradient of `model\.network.*bias` is not that .* compile=off$"):
        objective.differentiated()
    assert torch.equal(objective.flat(objective.parameters).detach(), theta)


def test_a_graph_is_compared_beside_the_parameters_and_moves_nothing(monkeypatch):
    """At a minimum the gradient is what rounding leaves of larger numbers, in float32 perhaps to no digit."""
    objective, tried, inner = objective_of(True), [], CompiledStep._tried
    objective.at.rule = Adam(1e-2).rule(objective)
    monkeypatch.setattr(CompiledStep, "_tried", lambda *parts: tried.append(inner(*parts)) or tried[-1])
    theta = objective.flat(objective.parameters).detach().clone()
    loss, _ = objective.differentiated()
    plain, compiled = tried
    torch.testing.assert_close(compiled, plain, rtol=1e-12, atol=1e-14)
    assert abs(plain["the"]["loss"] - loss) > 1e-3 * loss
    assert torch.equal(objective.flat(objective.parameters).detach(), theta)
    assert plain["the state"]["0"].abs().max() > 0


class Branch(Decay):
    """A residual that looks at the numbers of a tensor."""

    @on("interior")
    def pde(self, u, u_x, k):
        return u_x + k * u if u.max() > 0 else u_x


def test_a_residual_that_chooses_by_values_gets_one_line():
    objective = objective_of(True, problem=Branch())
    with pytest.raises(UsageError, match=r"^line \d+ of .*test_compiled_step.py cannot be compiled .*torch.where, or"):
        objective.differentiated()


@pytest.mark.parametrize("first", ["differentiated", "gradients", "step"])
def test_a_run_may_go_on_without_a_compiler(first):
    """Where the compiler was not asked for, and a step cannot be compiled."""
    eager, objective = (objective_of(compiled, problem=Branch()) for compiled in (False, True))
    told = []
    objective.at.uncompiled = told.append
    for each in (eager, objective):
        optimizer = Adam(lr=1e-2)
        each.at.rule = optimizer.rule(each)
        if first != "step":
            getattr(each, first)()
        for _ in range(3):
            optimizer.step(each)
    assert [str(error).startswith("line ") for error in told] == [True]
    assert torch.equal(objective.flat(objective.parameters), eager.flat(eager.parameters))


def test_parameters_are_parts_of_one_vector_with_the_same_numbers():
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in ((2, 3), (3,), ())]
    before = [p.detach().clone() for p in parameters]
    theta = as_one_vector(parameters)
    assert all(map(torch.equal, parameters, before))
    theta.mul_(2)
    assert all(torch.equal(p, 2 * q) for p, q in zip(parameters, before, strict=True))
    assert as_one_vector(parameters).data_ptr() == theta.data_ptr(), "not moved again"
    assert len(as_one_vector(parameters[1:])) == 4, "also of some of them"
    assert parameters[1].data_ptr() == theta[6:].data_ptr()
    other = as_one_vector([parameters[2], parameters[0]])
    assert torch.equal(other, torch.cat([2 * before[2].reshape(1), 2 * before[0].flatten()]))


@pytest.mark.slow
def test_points_that_are_one_tensor_at_first_and_two_later(made):
    """torch makes one argument of two that are the same tensor, and would then read the first for both."""
    pair, optimizers = both()
    first = dict(pair[0].batch)
    for at in (first["end"], first["end"] - 0.2, first["end"]):
        for objective in pair:
            objective.begin(first | {"start": at})
        assert_same_steps(pair, optimizers, 1)
    assert len(made) == 2


@pytest.mark.slow
def test_points_in_another_order_in_memory_or_precision(made):
    pair, optimizers = both()
    first = dict(pair[0].batch)
    for change in (lambda X: X.repeat(1, 2)[:, :1], lambda X: X.float(), lambda X: X):
        X = change(first["pde"])
        for objective in pair:
            objective.begin(first | {"pde": X, "bounded": X})
        assert_same_steps(pair, optimizers, 1)
    assert len(made) == 3


@pytest.mark.slow
def test_weights_from_a_number_to_one_per_point_and_back(made):
    weights = iter([7.0, torch.linspace(1, 2, 4, dtype=torch.float64), 7.0, 9.0])
    pair, optimizers = both()
    for _ in range(4):
        now = next(weights)
        for objective in pair:
            objective.weighting = lambda batch, residuals, now=now: {"end": now}
        assert_same_steps(pair, optimizers, 1)
    assert made == [False, False]


@pytest.mark.slow
def test_unknowns_with_a_rate_of_their_own(made):
    pair = [objective_of(on) for on in (False, True)]
    optimizers = [Adam(1e-2) for _ in pair]
    for objective, optimizer in zip(pair, optimizers, strict=True):
        objective.model.bounds = {"k": Unknown(start=0.5, lr=0.3)}
        objective.at.rule = optimizer.rule(objective)
    before = [p.detach().clone() for p in pair[1].parameters]
    assert_same_steps(pair, optimizers, 1)
    moved = {
        n: (p.detach() - q).abs().max()
        for n, p, q in zip(pair[1].names, pair[1].parameters, before, strict=True)
    }
    assert {n: round(float(d), 4) for n, d in moved.items()} == {n: 0.3 if "unknowns" in n else 0.01 for n in moved}
    assert_same_steps(pair, optimizers)


@pytest.mark.slow
def test_equal_rules_share_a_graph_and_others_do_not(made):
    pair, _ = both()
    for betas, graphs in (((0.9, 0.999), 1), ((0.9, 0.999), 1), ((0.8, 0.999), 2)):
        optimizers = [Adam(1e-2, betas=betas) for _ in pair]
        pair[1].at.rule = optimizers[1].rule(pair[1])
        assert_same_steps(pair, optimizers)
        assert len(made) == graphs


def test_residuals_do_not_serve_a_model_whose_parts_have_changed():
    at = objective_of(True).at
    assert at.serves(at.problem, at.model, True)
    next(p for n, p in at.model.named_parameters()).requires_grad_(False)
    assert not at.serves(at.problem, at.model, True)
    assert not at.serves(at.problem, at.model, False)
    at = objective_of(True).at
    at.model.network = objective_of(False).model.network
    assert not at.serves(at.problem, at.model, True)


def test_a_layout_tells_what_a_graph_was_compiled_for():
    X = torch.zeros(4, 2)
    same = layout_of([X, X])
    assert same == layout_of([Y := torch.ones(4, 2), Y])
    for other in ([X, X.clone()], [X[:3]] * 2, [X.double()] * 2, [X.T.contiguous().T] * 2):
        assert layout_of(other) != same


WORDS = [*SMALL, "architecture.depth=1", "recipe=adam", "dtype=float64", "compile=on", "threads=1", "record.every=1"]
CHANGES = {
    "growing": ["sampler=[uniform,rar]", "sampler.rar.every=2", "sampler.rar.pool=64"],
    "weights": ["weighting=[lr_annealing]", "weighting.lr_annealing.every=2"],
    "causal": ["weighting=[causal,grad_norm]"],
    "curriculum": ["strategy=continuation", "strategy.continuation.coefficient=c", "strategy.continuation.steps=3",
                   "strategy.continuation.through=[0.5]"],
    "windows": ["strategy=time_marching", "strategy.time_marching.windows=2"],
    "phases": ["optimizer=[adam,first_order,adamw]", "optimizer.adam.steps=2", "optimizer.first_order.steps=2"],
    "restarts": ["strategy=restarts", "strategy.restarts.patience=1", "strategy.restarts.absolute=100"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_compiled_run_has_the_rows_of_an_eager_one(change, here, monkeypatch):
    monkeypatch.setattr(compilation, "_failure", lambda: None)
    for setting in ("on", "off"):
        words = [*WORDS, *CHANGES[change], f"compile={setting}", "stop.steps=8", f"folder={setting}"]
        assert cli.main(["train", *words]) == FINISHED
    compiled, eager = (Results(here / s / "results.h5").read_history() for s in ("on", "off"))
    assert compiled.keys() == eager.keys()
    for name in eager.keys() - {"time"}:
        torch.testing.assert_close(torch.tensor(compiled[name]), torch.tensor(eager[name]), rtol=1e-6, atol=1e-9,
                                   equal_nan=True)  # fmt: skip


@pytest.mark.slow
def test_a_compiled_run_that_is_resumed_has_the_same_bits(here, monkeypatch):
    """Between two looks of a weighting at the gradients of the terms, which come from the graph of Adam."""
    monkeypatch.setattr(compilation, "_failure", lambda: None)
    words = [*WORDS, *CHANGES["weights"]]
    assert cli.main(["train", *words, "stop.steps=6", "folder=whole"]) == FINISHED
    assert cli.main(["train", *words, "stop.steps=3", "folder=parts"]) == FINISHED
    assert cli.main(["resume", "parts", "stop.steps=6"]) == FINISHED
    whole, parts = (Results(here / s / "results.h5").read_history() for s in ("whole", "parts"))
    for name in whole.keys() - {"time"}:
        assert torch.equal(torch.tensor(whole[name]), torch.tensor(parts[name])), name
