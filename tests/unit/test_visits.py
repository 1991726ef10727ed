import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.visits import Visits

both = pytest.mark.parametrize("xp", [np, jnp], ids=["host", "compiled"])


@both
def test_of_equal_keys_in_a_batch_the_first_visit_is_the_first(xp):
    visits, first = Visits.none(4, np=xp).visit(xp.array([2, 0, 2, 2]))
    assert visits.counts.tolist() == [1, 0, 3, 0]
    assert first.tolist() == [True, True, False, False]


@both
def test_what_was_visited_before_is_not_first_again(xp):
    before, _ = Visits.none(3, np=xp).visit(xp.array([1, 1]))
    visits, first = before.visit(xp.array([1, 2]))
    assert visits.counts.tolist() == [0, 3, 1]
    assert first.tolist() == [False, True]
    assert before.counts.tolist() == [0, 2, 0]


@both
def test_keys_out_of_range_are_nothing(xp):
    visits, first = Visits.none(2, np=xp).visit(xp.array([-1, 2, 1, -1]))
    assert visits.counts.tolist() == [0, 1]
    assert first.tolist() == [False, False, True, False]


@both
def test_a_batch_may_be_empty(xp):
    visits, first = Visits.none(2, np=xp).visit(xp.zeros(0, xp.int32))
    assert visits.counts.tolist() == [0, 0]
    assert first.shape == (0,)


@both
def test_a_single_key_is_a_batch_without_axis(xp):
    visits, first = Visits.none(2, np=xp).visit(xp.array(1))
    again, second = visits.visit(xp.array(1))
    assert (bool(first), bool(second)) == (True, False)
    assert again.counts.tolist() == [0, 2]


def test_many_lives_count_apart_in_one_compiled_step():
    lives = Visits(jnp.zeros((2, 3), jnp.int32))

    def walk(lives, keys):
        return jax.vmap(Visits.visit)(lives, keys)

    lives, first = jax.lax.scan(walk, lives, jnp.array([[0, 1], [1, 1], [0, 2]]))
    assert lives.counts.tolist() == [[2, 1, 0], [0, 2, 1]]
    assert first.tolist() == [[True, True], [True, False], [False, True]]


def test_host_and_compiled_counts_agree():
    keys = np.random.default_rng(0).integers(-2, 12, (5, 40))
    host, compiled = Visits.none(10, np=np), Visits.none(10)
    for batch in keys:
        host, expected = host.visit(batch)
        compiled, found = compiled.visit(jnp.array(batch))
        assert np.array_equal(expected, found)
    assert np.array_equal(host.counts, compiled.counts)
