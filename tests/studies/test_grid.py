"""The runs of a sweep, and why some are refused."""

import pytest

from pinn_cli.basics.errors import UsageError
from pinn_cli.studies import grid as module
from pinn_cli.studies.grid import combinations

HELMHOLTZ = "problem=helmholtz"


def refused(*words: str) -> list[bool]:
    return [reason is not None for _, reason in combinations([HELMHOLTZ, *words])]


def test_every_combination_in_the_order_typed():
    found = combinations([HELMHOLTZ, "seed=0,1", "optimizer=[adam],[adam,lbfgs]"])
    assert [words[1:] for words, _ in found] == [
        ["seed=0", "optimizer=[adam]"], ["seed=0", "optimizer=[adam,lbfgs]"],
        ["seed=1", "optimizer=[adam]"], ["seed=1", "optimizer=[adam,lbfgs]"],
    ]  # fmt: skip
    assert all(reason is None for _, reason in found)


def test_a_value_that_is_wrong_by_itself_refuses_its_runs_alone():
    assert refused("seed=abc,0", "weights.wall=4,-1") == [True, True, False, True]


def test_a_setting_that_only_one_of_the_parts_has_refuses_the_others():
    words = ["weighting=fixed,lr_annealing", "weighting.lr_annealing.alpha=0.5,0.1", "seed=0,1"]
    assert refused(*words) == [True] * 4 + [False] * 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("architecture.widht=3,4", "did you mean `width`?"),
        ("weighting=fixed,lr_anealing", "did you mean `lr_annealing`?"),
        ("stop.steps=a,b", "expected a whole number above 0"),
        ("seed=interval(0,1)", "expected a list of values"),
    ],
)
def test_a_setting_that_no_run_can_have_refuses_the_command(words, says):
    with pytest.raises(UsageError, match=says.replace("?", r"\?")):
        combinations([HELMHOLTZ, words])


def test_a_thousand_seeds_are_composed_as_often_as_a_few(monkeypatch):
    calls = []
    compose = module.compose
    monkeypatch.setattr(module, "compose", lambda words: calls.append(words) or compose(words))
    assert len(combinations([HELMHOLTZ, "seed=range(100)", "weighting=fixed,lr_annealing"])) == 200
    assert len(calls) == 3  # once to look at the seeds, once for each weighting
