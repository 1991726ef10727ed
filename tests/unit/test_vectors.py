import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.variation.vectors import BLOCK, gaussian, iso_line, normal, polynomial, polynomial_step, threefry


def key() -> jax.Array:
    return jax.random.key(0)


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_random_words_are_those_of_jax(blocks):
    """Bit for bit `jax.random.bits` before its counters became partitionable."""
    words = threefry(jnp.array([7, 11], jnp.uint32), 2 * blocks * BLOCK).reshape(-1)
    with jax.threefry_partitionable(False):
        old = jax.random.wrap_key_data(jnp.array([7, 11], jnp.uint32))
        assert np.array_equal(words, jax.random.bits(old, words.shape, jnp.uint32))


def test_normal_numbers_are_normal():
    x = np.sort(np.asarray(normal(key(), (1000, 1000))).ravel())
    assert np.isfinite(x).all()
    theory = np.asarray(jax.scipy.stats.norm.cdf(x))
    assert np.abs(theory - np.linspace(0, 1, x.size)).max() < 1.95 / 1000  # Kolmogorov-Smirnov, 0.1 %
    assert abs((x**4).mean() - 3) < 0.05
    assert x[-1] > 4.5


def test_normal_numbers_are_independent_within_a_row_between_rows_and_between_keys():
    x, y = (np.asarray(normal(k, (400, 400))) for k in jax.random.split(key()))
    pairs = [(x[:, :-1], x[:, 1:]), (x[:-1], x[1:]), (x[:200], x[200:]), (x, y)]
    assert all(abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.02 for a, b in pairs)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (3, 0), (7, 2, 3), (BLOCK + 1, 2)])
def test_any_shape_is_filled_with_different_numbers(shape):
    x = np.asarray(normal(key(), shape))
    assert x.shape == shape
    assert len(np.unique(x)) > 0.99 * x.size - 1  # 23 bits: some of many numbers are equal


def test_gaussian_has_the_deviation_asked_for_in_every_leaf():
    x = {"a": jnp.ones((500, 40)), "b": jnp.zeros((500, 4, 10))}
    y = gaussian(key(), x, 0.3)
    noise = {name: np.asarray(y[name] - x[name]).reshape(500, 40) for name in x}
    assert all(abs(values.std() - 0.3) < 0.01 for values in noise.values())
    assert abs(np.corrcoef(noise["a"].ravel(), noise["b"].ravel())[0, 1]) < 0.03


def test_without_the_isotropic_part_children_lie_on_the_line_through_their_parents():
    x, y = {"a": jnp.zeros((300, 2)), "b": jnp.ones((300, 3))}, {"a": jnp.ones((300, 2)), "b": jnp.full((300, 3), 5.0)}
    child = iso_line(key(), x, y, iso=0.0, line=0.5)
    step = np.asarray(child["a"][:, 0])
    assert np.allclose(child["a"], step[:, None], atol=1e-6)
    assert np.allclose(child["b"], 1 + 4 * step[:, None], atol=1e-5)
    assert abs(step.std() - 0.5) < 0.1
    assert len(np.unique(step)) == 300


def test_equal_parents_make_iso_line_a_gaussian():
    x = jnp.ones((200, 50))
    child = np.asarray(iso_line(key(), x, x, iso=0.2, line=9.0))
    assert abs((child - 1).std() - 0.2) < 0.01


@pytest.mark.parametrize("vary", [gaussian, lambda k, x: iso_line(k, x, x)])
def test_the_same_key_gives_the_same_children_also_when_compiled_and_none_of_no_parents(vary):
    x = jnp.zeros((30, 7))
    assert np.allclose(vary(key(), x), jax.jit(vary)(key(), x), atol=1e-6)
    assert vary(key(), jnp.zeros((0, 7))).shape == (0, 7)


def test_polynomial_steps_by_hand():
    """eta 1: (2/8)^(1/2) - 1 = -1/2, then 0, then 1 - (2/8)^(1/2); eta 0 is uniform."""
    assert polynomial_step(jnp.array([0.0, 0.125, 0.5, 0.875]), 1.0).tolist() == [-1, -0.5, 0, 0.5]
    assert polynomial_step(jnp.array([0.0, 0.25, 0.5, 0.75]), 0.0).tolist() == [-1, -0.5, 0, 0.5]


def test_polynomial_mutation_changes_the_share_asked_for_and_stays_within_bounds():
    x = {"a": jnp.full((200, 30), 2.0), "b": jnp.full((200, 5, 2), 2.5)}
    y = polynomial(key(), x, rate=0.3, eta=15.0, low=2.0, high=4.0)
    changed = np.asarray(y["b"] != x["b"])
    assert changed.mean() == pytest.approx(0.3, abs=0.03)
    steps = np.asarray(y["b"] - x["b"])[changed] / 2
    assert np.median(np.abs(steps)) == pytest.approx(1 - 0.5 ** (1 / 16), rel=0.1)
    assert min(y["a"].min(), y["b"].min()) >= 2
    assert (np.asarray(y["a"] > 2).mean()) == pytest.approx(0.15, abs=0.03)  # half of the steps lead outside
    assert jnp.array_equal(polynomial(key(), x, rate=0.0)["a"], x["a"])
