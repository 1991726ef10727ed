from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from aiga.core.errors import UsageError
from aiga.learners.continual import (
    HEAD,
    STEADY,
    WHOLE,
    Lesson,
    Shown,
    examine,
    follow,
    learn,
    lesson,
    look,
    meta_loss,
    reset,
    right,
    show,
    shuffled,
    split,
    zap,
)
from aiga.learners.meta_gradient import Unroll
from aiga.nn.gated import Gated, Represented, gate, linear


def key(seed=0):
    return jax.random.key(seed)


def flattened(image):
    return jnp.ravel(image)


def gated(modulated=True, seed=0):
    """Two features, which are two pixels, and three classes."""
    keys = jax.random.split(key(seed), 3)
    features = linear(keys[0], 2, 2)
    return Gated(Flat(features), gate(keys[1], flattened, 2, 2) if modulated else None, linear(keys[2], 2, 3))


class Flat(eqx.Module):
    """A linear layer on pixels."""

    layer: eqx.nn.Linear

    def __call__(self, image):
        return self.layer(jnp.ravel(image))


def represented(seed=0):
    keys = jax.random.split(key(seed), 3)
    return Represented(Flat(linear(keys[0], 2, 2)), linear(keys[1], 2, 4), linear(keys[2], 4, 3))


def small():
    """A class of two pictures, and three pictures to remember."""
    pictures = jax.random.uniform(key(7), (5, 1, 2, 1))
    return Lesson(jnp.array(1), pictures[:2], pictures[2:], jnp.array([0, 1, 2]))


def characters(classes=4):
    """Two by two pixels: each class a brightness of its own, with little noise."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 236, (classes, 1, 2, 2))
    return jnp.asarray((base + rng.integers(0, 20, (classes, 20, 2, 2))).astype(np.uint8)).reshape(-1, 2, 2)


def wide(classes=8):
    keys = jax.random.split(key(), 2)
    return Gated(Flat(linear(keys[0], 4, 16)), None, linear(keys[1], 16, classes))


def test_an_inner_step_is_one_of_sgd_on_one_picture():
    """The head's gradient of a softmax is (p - y) times its input."""
    net, data = gated(), small()
    one = data._replace(train=data.train[:1])
    learnt, _ = follow(net, one, Unroll(("head",)), 0.1)
    x = net.read(one.train[0])
    error = jax.nn.softmax(net(one.train[0])) - jnp.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(learnt.network.head.weight, net.head.weight - 0.1 * jnp.outer(error, x), rtol=1e-5)
    np.testing.assert_allclose(learnt.network.head.bias, net.head.bias - 0.1 * error, rtol=1e-5)
    np.testing.assert_allclose(learnt.losses, [-jax.nn.log_softmax(net(one.train[0]))[1]], rtol=1e-5)


def test_the_meta_loss_is_of_the_trajectory_and_of_what_is_to_be_remembered():
    net, data, unroll = gated(), small(), Unroll(("features", "head"))
    loss, said = meta_loss(net, data, unroll, 0.1)
    after = follow(net, data, unroll, 0.1)[0].network
    answers = jax.vmap(after)(jnp.concatenate([data.train, data.remember]))
    labels = jnp.array([1, 1, 0, 1, 2])
    np.testing.assert_allclose(loss, -jax.nn.log_softmax(answers)[jnp.arange(5), labels].mean(), rtol=1e-5)
    np.testing.assert_allclose(said.accuracy, (answers[2:].argmax(1) == labels[2:]).mean())


@pytest.mark.parametrize(("net", "adapts"), [(gated(), ("features", "head")), (represented(), ("hidden", "head"))])
def test_second_order_is_the_slope_of_the_meta_loss_and_first_order_is_not(net, adapts):
    """Against a difference quotient along a random direction, in float64."""
    with jax.enable_x64(True):
        net, data = jax.tree.map(lambda x: jnp.asarray(x, float) if eqx.is_inexact_array(x) else x, (net, small()))
        weights, static = eqx.partition(net, eqx.is_inexact_array)
        flat, tree = ravel_pytree(weights)
        where = jnp.sin(7 * jnp.arange(flat.size))

        @partial(jax.jit, static_argnums=1)
        def along(step, order):
            """The meta-loss so far along the direction, and its slope there."""
            return jax.value_and_grad(
                lambda s: meta_loss(eqx.combine(tree(flat + s * where), static), data, Unroll(adapts, order), 0.5)[0]
            )(step)

        values = [float(along(step, 2)[0]) for step in (1e-5, -1e-5)]
        first, second = (float(along(0.0, order)[1]) for order in (1, 2))
    quotient = (values[0] - values[1]) / 2e-5
    assert second == pytest.approx(quotient, rel=1e-6)
    assert first != pytest.approx(quotient, rel=1e-3)


@pytest.mark.parametrize(
    ("net", "adapts", "moved"),
    [(gated(), ("features", "head"), {"features", "head"}), (represented(), ("hidden", "head"), {"hidden", "head"})],
)
def test_only_the_parts_that_adapt_move_inside(net, adapts, moved):
    after = follow(net, small(), Unroll(adapts), 0.1)[0].network
    changed = {
        path[0].name
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(net), jax.tree.leaves(after), strict=True)
        if eqx.is_array(a) and (a != b).any()
    }
    assert changed == moved


def test_what_stays_is_computed_once():
    net, other = gated(), represented()
    assert split(net, ("head",)) == split(other, ("head",)) == HEAD
    assert split(net, ("features", "head")) == split(other, ("hidden", "head")) == STEADY
    assert split(net, ("gate", "head")) == split(other, ("features", "hidden", "head")) == WHOLE


@pytest.mark.parametrize("ask", [HEAD, STEADY, WHOLE])
@pytest.mark.parametrize("net", [gated(), gated(False), represented()])
def test_a_network_answers_the_same_in_two_parts(net, ask):
    x = jnp.array([[[0.3], [0.9]]])
    np.testing.assert_allclose(ask.answer(net, ask.see(net, x)), net(x), rtol=1e-6)


def test_zapping_changes_one_row_and_a_reset_the_whole_head():
    net = gated()
    net = eqx.tree_at(lambda n: n.head.bias, net, jnp.ones(3))
    zapped, fresh = zap(key(1), net, jnp.array([2])), reset(key(1), net)
    np.testing.assert_array_equal((zapped.head.weight != net.head.weight).any(axis=1), [False, False, True])
    np.testing.assert_array_equal(zapped.head.bias, net.head.bias)
    assert (fresh.head.weight != net.head.weight).all()
    np.testing.assert_array_equal(fresh.head.bias, [0, 0, 0])
    np.testing.assert_array_equal(fresh.features.layer.weight, net.features.layer.weight)


def test_a_lesson_is_of_one_class_and_of_the_first_classes_only():
    """Pictures are told by their brightness: class c is all c."""
    pictures = jnp.broadcast_to(jnp.arange(10, dtype=jnp.uint8).repeat(20)[:, None, None], (200, 2, 2))
    for seed in range(5):
        drawn = lesson(key(seed), pictures, 6, 20, 64)
        assert (jnp.round(drawn.train * 255) == drawn.label).all()
        np.testing.assert_array_equal(jnp.round(drawn.remember[:, 0, 0, 0] * 255), drawn.remember_y)
        assert drawn.remember_y.max() < 6


def test_the_stream_takes_one_step_on_each_picture_in_turn():
    """Counted by a rule that adds one to the bias, and keeps the last label's place in the gradient."""
    count = optax.stateless(lambda slope, _: jax.tree.map(jnp.ones_like, slope))
    net, pictures = wide(), characters()
    shown = show(net, ("head",), pictures, jnp.arange(6), jnp.arange(6) // 2)
    after, watched = learn(net, shown, ("head",), count, every=2, watch=lambda net: net.head.bias[0])
    np.testing.assert_allclose(after.head.bias - net.head.bias, 6)
    np.testing.assert_allclose(watched, [2, 4, 6])
    np.testing.assert_array_equal(after.features.layer.weight, net.features.layer.weight)
    with pytest.raises(UsageError, match="divides"):
        learn(net, shown, ("head",), count, every=4)


@pytest.mark.parametrize("adapts", [("head",), ("features", "head")])
def test_the_stream_learns_as_steps_one_by_one_do(adapts):
    net, pictures = wide(), characters()
    which, labels = jnp.arange(0, 60, 20), jnp.arange(3)
    after, _ = learn(net, show(net, adapts, pictures, which, labels), adapts, optax.sgd(0.3))
    slope = eqx.filter_jit(eqx.filter_grad(lambda net, x, y: -jax.nn.log_softmax(net(x))[y]))
    for x, y in zip(look(pictures, which), labels, strict=True):
        moved = eqx.apply_updates(net, jax.tree.map(lambda g: -0.3 * g, slope(net, x, y)))
        net = moved if "features" in adapts else eqx.tree_at(lambda n: n.head, net, moved.head)
    np.testing.assert_allclose(after.head.weight, net.head.weight, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after.features.layer.weight, net.features.layer.weight, rtol=1e-5, atol=1e-6)


def test_the_oracle_sees_every_picture_once_an_epoch_in_another_order():
    shown = Shown(jnp.arange(12.0), jnp.arange(12))
    mixed = shuffled(key(), shown, 3)
    np.testing.assert_array_equal(mixed.seen, mixed.labels)
    epochs = np.asarray(mixed.labels).reshape(3, 12)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(12), (3, 1)))
    assert len({tuple(order) for order in epochs}) == 3


def test_the_oracle_forgets_less_than_the_stream():
    """Without meta-training; the oracle has ten epochs."""
    test = eqx.filter_jit(examine)
    online, oracle = (test(key(), wide(), characters(8), 6, (0.05,), epochs=epochs) for epochs in (0, 10))
    assert online.train.shape == online.test.shape == (1,)
    assert oracle.test[0] > online.test[0] + 0.2


def test_right_answers_are_counted_picture_by_picture():
    net = wide()
    shown = show(net, ("head",), characters(), jnp.arange(5), jnp.zeros(5, int))
    says = jax.vmap(net)(look(characters(), jnp.arange(5))).argmax(axis=1)
    np.testing.assert_array_equal(right(net, shown, ("head",)), says == 0)
