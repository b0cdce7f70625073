"""The configurations of these tests, of which each choice of parts is composed once, are those of Hydra."""

import pytest
from hydra.compose import compose as hydra_compose

from pinn_cli.configuration import compose

WORDS = [
    ["problem=helmholtz"],
    ["problem=wave", "recipe=adam", "folder=a", "seed=3", "stop.steps=7", "optimizer.adam.lr=1e-2", "dtype=float32"],
    ["problem=wave", "++weights.wall=3", "weighting=[lr_annealing,causal]", "weighting.lr_annealing.every=2"],
    ["problem=burgers", "++problem.data={points: 50, noise: 0.1}", "points={interior: 7, face: 3}", "record.every=2"],
    ["problem=convection_family", "architecture=constrained", "architecture@architecture.basis=random_features",
     "architecture.basis.width=3"],
]  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_a_configuration_with_settings_placed_into_a_copy_is_that_of_hydra(words):
    with compose.hydra_loader():
        for _ in range(2):
            copy = compose.hydra_compose("config", list(words), return_hydra_config=True)
        assert compose.hydra_compose is not hydra_compose
        whole = hydra_compose("config", list(words), return_hydra_config=True)
    assert copy.hydra.runtime.choices == whole.hydra.runtime.choices
    del copy._content["hydra"], whole._content["hydra"]
    assert copy == whole


@pytest.mark.parametrize("word", ["stop.step=3", "problem.nothing=1", "nothing=1", "stop.steps.a=1"])
def test_a_setting_that_hydra_refuses_is_refused_with_its_words(word):
    said = []
    with compose.hydra_loader():
        for function in (compose.hydra_compose, hydra_compose):
            with pytest.raises(Exception, match=r".") as refusal:
                function("config", ["problem=wave", word], return_hydra_config=True)
            said.append((type(refusal.value), str(refusal.value), type(refusal.value.__cause__)))
    assert said[0] == said[1]
