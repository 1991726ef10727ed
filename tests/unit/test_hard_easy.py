import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs.hard_easy import BREAK, HardEasy


def scores(*pair):
    genome = 2 * jnp.array(pair).reshape(1, 1, 2) - 1
    return HardEasy(1)(jax.random.key(0), genome).aux[0].tolist()


def test_scores_of_one_pair_by_hand():
    assert scores(0.0, 0.0) == [0, 1]
    assert scores(0.05, 0.25) == pytest.approx([0.05, 0.75])
    assert scores(0.5, 0.0) == [0.5, 0]
    assert scores(0.5, 1.0) == [0.5, 0]
    assert scores(1.0, 0.0) == [1, 0]
    assert scores(1.0, 1.0) == [1, 1]


def test_all_tasks_of_all_pairs_are_solved_by_ones():
    world = HardEasy(3)
    evaluation = world(jax.random.key(0), jnp.ones((2, 3, 2)))
    assert world.tasks == 6
    assert evaluation.aux.tolist() == [[1] * 6] * 2
    assert evaluation.fitness.tolist() == [1, 1]


def test_a_random_genome_is_a_beginner_and_every_better_combination_nearby_is_a_loss():
    world = HardEasy(3)
    start = world.build(jax.random.key(0))
    assert (np.asarray(start[:, 0] + 1) / 2 <= BREAK).all()
    step = start.at[0, 0].set(0.0)
    settled = jnp.array([[-0.8, -1.0]] * 3)
    before, after = (float(world(jax.random.key(0), g[None]).fitness[0]) for g in (settled, settled.at[0, 0].set(0.0)))
    assert before - after == pytest.approx((1 - 0.4) / 6)
    assert world(jax.random.key(0), step[None]).aux[0, 3] == 0
