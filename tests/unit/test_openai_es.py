import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Strategy
from aiga.core.trees import Layout
from aiga.nn.mlp import mlp
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import OpenAIES, by_fitness, centred_ranks

TABLE = NoiseTable.make(2**16)
GENOMES = {
    "vector": jnp.arange(3.0),
    "dict": {"a": jnp.zeros(2), "b": jnp.ones((2, 2))},
    "module": mlp(jax.random.key(0), (2, 3, 1)),
}


def es(example, **options):
    return OpenAIES(TABLE, Layout.of(example), lambda key: example, **options)


def scored(fitness):
    return Evaluation(jnp.asarray(fitness), jnp.zeros((len(fitness), 0)))


def test_centred_ranks_reach_from_minus_a_half_to_a_half():
    assert np.allclose(centred_ranks(jnp.array([10.0, -3.0, 7.0])), [0.5, -0.5, 0.0])
    assert np.allclose(centred_ranks(jnp.array([jnp.inf, -jnp.inf, 7.0])), [0.5, -0.5, 0.0])
    assert centred_ranks(jnp.zeros(0)).shape == (0,)


def test_equals_share_their_mean_rank():
    assert np.allclose(centred_ranks(jnp.array([1.0, 2.0, 2.0, 3.0])), [-0.5, 0.0, 0.0, 0.5])
    assert np.allclose(centred_ranks(jnp.full(4, 7.0)), 0.0), "on a plateau nothing pulls"


def test_a_failure_has_no_rank_and_does_not_move_those_of_others():
    ranks = centred_ranks(jnp.array([1.0, jnp.nan, 2.0]))
    assert np.allclose(ranks, [-0.5, np.nan, 0.5], equal_nan=True)
    assert np.allclose(centred_ranks(jnp.array([jnp.nan, 5.0])), [np.nan, 0.0], equal_nan=True)


@pytest.mark.parametrize("example", GENOMES.values(), ids=GENOMES.keys())
def test_candidates_are_mirrored_pairs_around_the_mean_whatever_the_genome(example):
    strategy = es(example, pairs=4, sigma=0.5)
    state = strategy.init(jax.random.key(0))
    candidates = strategy.ask(jax.random.key(1), state)
    flat = strategy.layout.flat(candidates.genomes)
    assert isinstance(strategy, Strategy)
    assert jax.tree.structure(candidates.genomes) == jax.tree.structure(example)
    assert np.allclose((flat[:4] + flat[4:]) / 2, strategy.layout.flat(example), atol=1e-6)
    rebuilt = state.mean + candidates.sign[5] * 0.5 * TABLE.row(candidates.noise[5], strategy.layout.size)
    assert np.array_equal(flat[5], rebuilt), "place and sign rebuild the candidate to the bit"


def test_a_step_is_the_weighted_sum_of_the_noise():
    strategy = es(jnp.zeros(3), pairs=2, sigma=0.1, learning_rate=1.0, l2=0.0, optimiser="sgd")
    state = strategy.init(jax.random.key(0))
    candidates = strategy.ask(jax.random.key(1), state)
    after, info = strategy.tell(jax.random.key(2), state, candidates, scored([4.0, 1.0, 2.0, 3.0]))
    e = TABLE.rows(candidates.noise[:2], 3)
    # Ranks 1/2, -1/2, -1/6, 1/6: the pairs' differences are 2/3 and -2/3, of two pairs.
    expected = (2 / 3 * e[0] - 2 / 3 * e[1]) / 2
    assert np.allclose(after.mean, expected, atol=1e-6)
    assert np.isclose(info["es/step_norm"], np.linalg.norm(expected))
    assert int(after.generation) == 1
    assert np.array_equal(after.identity, [0, 4])
    divided = es(jnp.zeros(3), pairs=2, sigma=0.1, divide=True)
    utility = by_fitness(scored([4.0, 1.0, 2.0, 3.0]))
    assert np.allclose(divided.estimate(candidates.noise, utility, 0.1)[0], 10 * expected)


def test_a_pair_with_a_failure_does_not_move_the_mean_and_no_pair_leaves_all_as_it_was():
    strategy = es(jnp.ones(3), pairs=2, learning_rate=1.0, l2=0.0, optimiser="sgd")
    state = strategy.init(jax.random.key(0))
    candidates = strategy.ask(jax.random.key(1), state)
    half, _ = strategy.tell(jax.random.key(2), state, candidates, scored([1.0, 5.0, 2.0, jnp.nan]))
    assert np.allclose(half.mean, 1 - 0.5 * TABLE.row(candidates.noise[0], 3), atol=1e-6)
    adam = es(jnp.ones(3), pairs=2)
    state = adam.init(jax.random.key(0))
    same, _ = adam.tell(jax.random.key(2), state, candidates, scored([jnp.nan] * 4))
    assert np.array_equal(same.mean, state.mean)
    assert all(
        np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (same.optimiser, state.optimiser)), strict=True)
    )


def test_on_a_plateau_only_weight_decay_moves_a_fresh_cloud():
    for l2, expected in ((0.0, 1.0), (0.5, 0.95)):
        strategy = es(jnp.ones(3), pairs=2, learning_rate=0.1, l2=l2, optimiser="sgd")
        state = strategy.init(jax.random.key(0))
        candidates = strategy.draw(jax.random.key(1), state)
        after, _ = strategy.tell(jax.random.key(2), state, candidates, scored([7.0] * 4))
        assert np.allclose(after.mean, expected, atol=1e-6)


def test_clouds_without_extent_or_pairs_and_blocks_that_do_not_divide_these_are_refused():
    for sigma in (0.0, -0.1, float("nan")):
        with pytest.raises(UsageError, match="`sigma` is"):
            es(jnp.ones(3), sigma=sigma)
    with pytest.raises(UsageError, match="only Adam counts"):
        es(jnp.ones(3), sigma_decay=0.9, optimiser="sgd")
    with pytest.raises(UsageError, match="0 pairs"):
        es(jnp.ones(3), pairs=0)
    strategy = es(jnp.ones(3), pairs=4)
    with pytest.raises(UsageError, match="`block` is 3 of 4"):
        strategy.generation(jax.random.key(1), strategy.begin(jnp.ones(3)), lambda *_: scored([0.0]), 3)


@pytest.mark.parametrize("block", [1, 2, 4, None])
def test_a_generation_in_blocks_is_one_at_once(block):
    strategy = es(jnp.ones(5), pairs=4)
    state = strategy.init(jax.random.key(0))

    def evaluate(key, genomes):
        return Evaluation(-(genomes**2).sum(axis=1), genomes[:, :2])

    after, drawn, evaluation, _ = strategy.generation(jax.random.key(1), state, evaluate, block)
    genomes = strategy.offspring(state, drawn.noise[:4])
    expected = evaluate(None, genomes)
    assert np.allclose(evaluation.fitness, expected.fitness, atol=1e-6)
    assert np.allclose(evaluation.descriptor, expected.descriptor, atol=1e-6)
    told, _ = strategy.tell(jax.random.key(2), state, drawn, expected)
    assert np.allclose(after.mean, told.mean, atol=1e-6)


def test_sigma_and_the_learning_rate_decay_to_their_floors_and_begin_anew_with_the_optimiser():
    rate = optax.exponential_decay(0.2, 1, 0.5, end_value=0.06)
    strategy = es(jnp.zeros(3), pairs=2, sigma=0.8, sigma_decay=0.5, sigma_floor=0.15, learning_rate=rate, l2=0.0)
    state, sigmas, steps = strategy.init(jax.random.key(0)), [], []
    for _ in range(4):
        sigmas.append(float(strategy.deviation(state)))
        candidates = strategy.ask(jax.random.key(1), state)
        spread = (candidates.genomes[0] - state.mean) / TABLE.row(candidates.noise[0], 3)
        assert np.allclose(spread, sigmas[-1], atol=1e-5), "candidates are as far from the mean as it says"
        after, _ = strategy.tell(jax.random.key(2), state, candidates, scored([4.0, 1.0, 2.0, 3.0]))
        steps.append(float(jnp.abs(after.mean - state.mean).max()))
        state = after
    assert np.allclose(sigmas, [0.8, 0.4, 0.2, 0.15])
    assert np.allclose(steps, [0.2, 0.1, 0.06, 0.06], rtol=1e-3), "Adam's steps towards the same side are the rate"
    assert np.isclose(strategy.deviation(strategy.begin(state.mean)), 0.8)


def test_a_proposal_is_a_step_from_elsewhere_with_this_clouds_optimiser_which_nobody_commits():
    strategy = es(jnp.zeros(3), pairs=2, sigma=0.1, l2=0.0)
    first = strategy.init(jax.random.key(0))
    told = scored([4.0, 1.0, 2.0, 3.0])
    state, _ = strategy.tell(jax.random.key(2), first, strategy.ask(jax.random.key(1), first), told)
    guest = state._replace(mean=jnp.full(3, 5.0))
    candidates = strategy.ask(jax.random.key(3), guest)
    proposed, _ = strategy.tell(jax.random.key(4), guest, candidates, told)
    committed, _ = strategy.tell(jax.random.key(4), state, candidates, told)
    assert np.allclose(proposed.mean - 5, committed.mean - state.mean, atol=1e-6), "the same memory, the same change"
    assert np.array_equal(strategy.ask(jax.random.key(3), state).noise, candidates.noise)


def test_births_name_every_candidate_and_then_the_new_mean():
    strategy = es(jnp.ones(5), pairs=2)
    state = strategy.init(jax.random.key(0))
    candidates = strategy.ask(jax.random.key(1), state)
    evaluation = scored([1.0, 2.0, jnp.nan, 3.0])
    born = strategy.births(state, candidates, evaluation)
    after, _ = strategy.tell(jax.random.key(2), state, candidates, evaluation)
    assert np.array_equal(born["id"], [[0, i] for i in range(5)])
    assert np.array_equal(born["id"][-1], after.identity)
    assert np.array_equal(born["kept"], [2, 2, 0, 2, 2])
    assert np.array_equal(born["sign"], [1, 1, -1, -1, 0])
    assert float(born["fitness"][-1]) == 2.0


def test_it_climbs_a_sphere_in_a_hundred_dimensions():
    strategy = es(jnp.ones(100), pairs=64, sigma=0.1, learning_rate=0.05, l2=0.0)

    def evaluate(key, genomes):
        return Evaluation(-(genomes**2).sum(axis=1), genomes[:, :0])

    def step(state, key):
        state, _, _, info = strategy.generation(key, state, evaluate)
        return state, info["es/fitness"]

    state, fitness = jax.lax.scan(step, strategy.init(jax.random.key(0)), jax.random.split(jax.random.key(1), 150))
    assert float(fitness[0]) < -90
    assert float((state.mean**2).sum()) < 1
