import jax
import jax.numpy as jnp
import pytest

from aiga.core.errors import UsageError
from aiga.envs.hidden_goal import HiddenGoal
from aiga.learners.completion import Completion
from aiga.learners.lifetime import Lifetime
from aiga.learners.recognition import Recognition
from aiga.systems.plastic_networks import PlasticNetworks, equalled, make, size

PICTURES = jnp.zeros((6 * 20, 15, 15), jnp.uint8)
TASKS = (
    Completion(10, None, None),
    Lifetime(HiddenGoal(side=5)),
    Recognition(PICTURES, PICTURES, "drawn", (6, 6), layers=3),
)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_fixed_connections_have_no_fewer_parameters_but_as_few_as_that_allows(task):
    def count(units, rule):
        return size(task.build(jax.random.key(0), units, rule, "connection"))

    units = 12
    rules = ("oja", "clip") if isinstance(task, Recognition) else ("oja", "simple", "retroactive")
    most = max(count(units, rule) for rule in rules)
    more = equalled(task, units)
    assert count(more, "none") >= most
    assert count(more - 1, "none") < most


def tiny(rule="decay", rate=0.01, bits=20):
    task = Completion(bits, None, None, patterns=1, rounds=1, shown=2, blank=1, recall=2, batch=8, examined=16)
    return PlasticNetworks(task, bits + 1, rule, "layer", rate, 10**9, 1e9, 20)


def test_a_small_plastic_network_learns_to_complete_and_says_how_it_learned():
    system = tiny()
    state, first = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    for seed in range(2, 5):
        state, info = system.step(jax.random.key(seed), state)
    assert info["completion/error"] < 0.1
    assert info["train/updates"] == 80
    assert info["train/loss"] < first["train/loss"]
    assert info["unroll/order"] == 0
    assert info["network/parameters"] == 21 * 21 + 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"plasticity": "none", "modulation": "simple"}, "--modulation is simple: it is a rule itself"),
        ({"task": "maze", "rule": "oja", "modulation": "simple"}, "leave --rule at auto"),
        ({"task": "omniglot", "modulation": "retroactive"}, "not for omniglot"),
        ({"units": 1000}, "--units is 1000, but every bit and a constant need one: give 1001 or more"),
        ({"fuse": -1}, "must be 0, for the task's own, or above it"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        make(**options)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, "clip"),
        ({"scale": "paper"}, "decay"),
        ({"rule": "hebb"}, "decay"),
        ({"task": "maze"}, "clip"),
        ({"task": "cue_reward", "modulation": "retroactive"}, "retroactive"),
        ({"task": "cue_reward", "plasticity": "none"}, "none"),
    ],
)
def test_options_name_the_rule(options, rule):
    assert make(**options).rule == rule


@pytest.mark.parametrize(
    ("task", "parameters"), [("patterns", 2 * 1001**2 + 1), ("maze", 22_206), ("cue_reward", 86_000)]
)
def test_a_task_can_be_built_at_the_papers_size(task, parameters):
    system = make(task=task, scale="paper")
    network = jax.eval_shape(lambda key: system.init(key).network, jax.random.key(0))
    assert size(network) == pytest.approx(parameters, rel=0.03)
