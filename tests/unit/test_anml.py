import asyncio

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.lifts import maybe
from aiga.data.omniglot import characters
from aiga.systems.anml import PAPER, Build, gates, make

TINY = {
    "data": "drawn", "channels": 4, "gates": 2, "hidden": 8, "classes": 6, "inner_steps": 2, "remember": 3, "fuse": 1,
    "meta_steps": 1, "lengths": (2,), "watched": 2, "rates": (0.01, 0.1), "streams": 1,
}  # fmt: skip


def begun(**options):
    system = make(**TINY | options)
    return system, system.init(jax.random.key(0))


def stepped(system, state):
    return asyncio.run(maybe(system.step(jax.random.key(1), state)))


def moved(before, after):
    """Parts of the network of which a number changed."""
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    return {path[0].name for (path, a), b in pairs if (a != b).any()}


@pytest.mark.parametrize(
    ("options", "parts", "order", "adapts"),
    [
        ({}, {"features", "gate", "head"}, 1, "features (360), head (222)"),
        ({"method": "oml", "order": 2}, {"features", "hidden", "head"}, 2, "hidden (296), head (54)"),
        ({"method": "pretrain", "reset_every": 3}, {"features", "head"}, 0, "nothing"),
        ({"method": "scratch"}, set(), 0, "nothing"),
    ],
)
def test_training_moves_all_weights_and_the_record_says_what_adapts_inside(options, parts, order, adapts):
    system, state = begun(**options)
    said = system.unroll.describe(state.network)
    assert moved(state.network, system.trained(jax.random.key(1), state)[0].network) == parts
    assert said["unroll/order"] == order
    assert said["unroll/adapts"] == adapts


def test_a_run_is_tested_once_at_its_end_and_then_finished():
    system, state = begun(method="pretrain", reset_every=3, meta_steps=2)
    state, first = stepped(system, state)
    state, last = stepped(system, state)
    assert not [name for name in first if name.startswith(("test/", "run/"))]
    assert last["run/finished"] == 1
    assert last["unroll/adapts"] == "nothing"
    assert last["data/source"] == "drawn"
    assert last["test/accuracy"] == last["test/accuracy_2"] <= last["test/searched"]
    assert last["test/rate_2"] in TINY["rates"]
    assert last["test/drop"] == pytest.approx(1 - last["test/accuracy"] / max(last["test/oracle_accuracy"], 1e-6))


def test_classes_of_training_of_the_search_and_of_the_test_are_different():
    system, known = begun()[0], characters("drawn")
    np.testing.assert_array_equal(system.train, known.train[:6].reshape(-1, 28, 28))
    np.testing.assert_array_equal(system.held, known.train[6 : 6 + len(known.test)].reshape(-1, 28, 28))
    np.testing.assert_array_equal(system.test, known.test.reshape(-1, 28, 28))


def test_without_classes_to_spare_the_search_is_on_the_classes_of_the_test():
    """As with the paper's 963 classes of 964."""
    system = make(**TINY | {"classes": 963})
    np.testing.assert_array_equal(system.held, system.test)


def test_zapping_changes_what_a_lesson_begins_with():
    """The loss on a class's first picture is that of a random row of the head, or not."""
    (zapped, state), (plain, _) = begun(), begun(zap=False)
    losses = [system.trained(jax.random.key(1), state)[1]["train/first"] for system in (zapped, plain)]
    assert losses[0] != losses[1]


def test_the_head_is_reset_every_so_many_steps_of_pretraining():
    system, state = begun(method="pretrain", reset_every=3)
    kept = system.trained(jax.random.key(1), state._replace(updates=jnp.array(1, jnp.int32)))[0]
    reset = system.trained(jax.random.key(1), state._replace(updates=jnp.array(3, jnp.int32)))[0]
    changes = [jnp.abs(after.network.head.weight - state.network.head.weight).mean() for after in (kept, reset)]
    assert changes[0] < 0.01 < 0.1 < changes[1]


def test_gates_are_laid_out_by_class_and_sorted_by_the_class_that_opens_them():
    _, state = begun()
    openings = gates(state.network, characters("drawn").test[:3])
    assert openings.shape == (3, 20, 36)
    best = openings.mean(axis=1).argmax(axis=0)
    assert (np.diff(best) >= 0).all()


def test_the_papers_network_has_six_million_weights():
    """Beaulieu et al. (2020); counted without making them."""
    build = Build("anml", PAPER["channels"], PAPER["gates"], PAPER["hidden"], PAPER["rows"], True)
    network = eqx.filter_eval_shape(build, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(network)) == pytest.approx(6.04e6, rel=0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 1}, "--classes is 1: give 2 to 964"),
        ({"lengths": ()}, "give numbers of classes"),
        ({"lengths": (700,)}, "give numbers of classes"),
        ({"rates": (0.0,)}, "above zero"),
        ({"fuse": 0}, "--fuse is 0"),
    ],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        make(**TINY | options)
