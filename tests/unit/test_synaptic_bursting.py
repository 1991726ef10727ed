import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.inspect.bursts import recycled
from aiga.nn.gated import Bursting, Gated
from aiga.runs import loop
from aiga.systems.synaptic_bursting import PAPER, carried, figures, make, overlap, reopened

TINY = {
    "data": "drawn", "channels": 2, "eye": 1, "rank": 2, "classes": 3, "updates": 1, "fuse": 1, "inner_steps": 2,
    "remember": 2, "domains": ("digits",), "length": 2, "rates": (0.01,), "streams": 1,
}  # fmt: skip


def begun(**options):
    system = make(**TINY | options)
    return system, system.init(jax.random.key(0))


def test_the_weights_that_change_most_carry_nine_tenths_of_a_step():
    moved = jnp.array([[8.0, 1.0, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(carried(moved), [0.5, 1.0, 0.0])
    np.testing.assert_allclose(carried(moved, 0.7)[0], 0.25)


def test_classes_share_what_both_open_in_half_of_their_pictures():
    first = [[True, True, False], [True, False, False]]  # the first gate always, the second half of the time
    second = [[True, False, False], [True, False, False]]
    none = [[False] * 3, [False] * 3]
    shared = overlap(jnp.array([first, second, none]))
    np.testing.assert_allclose(shared, [[1, 0.5, 0], [1, 1, 0], [0, 0, 0]])
    assert recycled(np.asarray(shared[:2, :2])) == 0.75


def test_every_weight_begins_almost_shut_and_the_heads_are_opened_in_another_domain():
    _, state = begun()
    assert isinstance(state.network, Bursting)
    x = jnp.zeros((28, 28, 1))
    assert float(state.network.opening(x).max()) < 0.01
    count = state.network.head.weight.size
    opening = reopened(jax.random.key(1), state.network).opening(x)
    np.testing.assert_allclose(opening[:-count], state.network.opening(x)[:-count])
    np.testing.assert_allclose(opening[-count:], 1 / (1 + np.exp(1.7)), rtol=0.5)
    assert float(opening[-count:].min()) > 0.01


@pytest.mark.parametrize("gating", ["none", "features"])
def test_the_controls_have_no_gates_of_weights(gating):
    system, state = begun(gating=gating)
    assert isinstance(state.network, Gated)
    assert (state.network.gate is None) == (gating == "none")
    assert reopened(jax.random.key(1), state.network) is state.network
    assert system._adapts(state.network) == ("features", "head")


def test_gates_stay_while_a_class_is_learnt_and_learn_from_what_comes_of_it():
    system, state = begun(bias=0.0)
    after, said = system.update(jax.random.key(1), state)
    assert said["train/open"] > 0.5
    pairs = zip(jax.tree_util.tree_leaves_with_path(state.network), jax.tree.leaves(after.network), strict=True)
    changed = {path[0].name for (path, before), now in pairs if (before != now).any()}
    assert changed == {"features", "eye", "gate", "head"}
    assert system.unroll.describe(state.network)["unroll/adapts"].startswith("features")
    assert "gate" in system.unroll.describe(state.network)["unroll/fixed"]


def test_a_run_ends_with_each_domain_and_what_burst(tmp_path):
    run = loop.run("synaptic_bursting", seed=0, steps=9, out=tmp_path / "run", **TINY)
    last = run.latest()
    found = run.state.domains["digits"]
    assert last["run/steps"] == 1
    assert last["data/digits"] == "drawn"
    assert last["digits/kept"] == last["transfer/kept"] == pytest.approx(float(found.matrix[-1].mean()))
    assert found.matrix.shape == (3, 2)
    assert last["digits/open"] == pytest.approx(float(found.trace.open.mean()))
    assert len(found.trace.changed) == 30
    assert 0 < last["digits/changed"] < 1
    assert len(figures(run)) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 965}, "--classes is 965: give 2 to 964"),
        ({"domains": ()}, "give a domain"),
        ({"rate": 0.0}, "must be above zero"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        make(**TINY | options)


def test_the_papers_gates_are_hundreds_of_millions():
    system = make(**PAPER | {"data": "drawn", "domains": ("digits",)})
    network = eqx.filter_eval_shape(system.build, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(network)) > 500e6
