import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aiga.core.errors import UsageError
from aiga.learners.continual import Shown
from aiga.learners.transfer import RULES, batched, fine_tuned, rule, tracked
from aiga.nn.gated import Gated, linear


class Flat(eqx.Module):
    """Pixels in a row."""

    scale: jax.Array

    def __call__(self, image):
        return self.scale * jnp.ravel(image)


def network(classes=4):
    return Gated(Flat(jnp.ones(())), None, linear(jax.random.key(0), 4, classes))


def pictures(classes=4):
    """Two by two pixels, of which one is bright: which, is the class."""
    bright = 255 * np.eye(4, dtype=np.uint8)[:classes]
    return jnp.asarray(np.repeat(bright, 20, axis=0).reshape(-1, 2, 2))


def test_batches_keep_the_order_and_leave_out_what_does_not_fill_one():
    shown = batched(Shown(jnp.arange(7), jnp.arange(7)), 3)
    np.testing.assert_array_equal(shown.labels, [[0, 1, 2], [3, 4, 5]])


def test_fine_tuning_on_classes_that_differ_in_a_pixel_ends_in_knowing_them():
    curves = fine_tuned(
        jax.random.key(1),
        network(),
        pictures(),
        4,
        (0.0, 0.1),
        adapts=("head",),
        optimiser=optax.sgd,
        batch=15,
        epochs=3,
    )
    assert curves.shape == (2, 4)
    assert (curves[0] == curves[0, 0]).all(), "a rate of zero changes nothing"
    assert curves[1, 0] == curves[0, 0]
    assert curves[1, -1] == 1


def test_a_batch_that_does_not_divide_the_pictures_is_refused():
    with pytest.raises(UsageError, match="give a number that divides the 60 pictures"):
        fine_tuned(jax.random.key(1), network(), pictures(), 4, (0.1,), adapts=("head",), batch=7)


def test_each_task_is_known_after_its_own_pictures_and_not_before():
    matrix = tracked(
        jax.random.key(2), network(), pictures(), 2, (0.5,), ways=2, adapts=("head",), optimiser=optax.sgd
    )[0]
    assert matrix.shape == (3, 2)
    assert matrix[1, 0] >= 0.5
    assert matrix[1, 1] <= matrix[2, 1]
    assert matrix[2, 1] >= 0.5


@pytest.mark.parametrize("name", list(RULES))
def test_every_optimiser_goes_down(name):
    rule_of = rule(name)(0.1)
    x = jnp.array(1.0)
    change, _ = rule_of.update(2 * x, rule_of.init(x), x)
    assert change < 0


def test_an_unknown_optimiser_is_refused_with_those_that_are_known():
    with pytest.raises(UsageError, match="sgd, momentum, rmsprop, adam, adamw"):
        rule("lion")
