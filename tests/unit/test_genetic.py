import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.lifts import Generational, Scanned
from aiga.core.protocols import Evaluation, Strategy
from aiga.core.trees import Layout
from aiga.nn.mlp import mlp
from aiga.runs.events import Born
from aiga.strategies.genetic import Genetic, Mutation
from aiga.strategies.noise import NoiseTable

TABLE = NoiseTable.make(2**16)
GENOMES = {
    "vector": jnp.zeros(3),
    "dict": {"a": jnp.zeros(2), "b": jnp.zeros((2, 2))},
    "module": mlp(jax.random.key(0), (2, 3, 1)),
}
NAN = float("nan")


def ga(population=4, parents=2, sigma=0.5, example=GENOMES["vector"]):
    layout = Layout.of(example)
    return Genetic(
        Mutation(TABLE, layout, sigma),
        lambda key: layout.tree(jax.random.normal(key, (layout.size,))),
        population,
        parents,
    )


def told(strategy, state, fitness, seed=0):
    """The candidates of a generation, and the state after they had the given fitness."""
    candidates = strategy.ask(jax.random.key(seed), state)
    evaluation = Evaluation(jnp.array(fitness), jnp.zeros((len(fitness), 0)))
    after, info = strategy.tell(jax.random.key(1), state, candidates, evaluation)
    return candidates, after, info


def begun(strategy, fitness):
    return told(strategy, strategy.init(jax.random.key(9)), fitness)


def test_it_is_a_strategy():
    assert isinstance(ga(), Strategy)


def test_the_first_generation_is_random_and_has_no_parents():
    candidates = ga().ask(jax.random.key(0), ga().init(jax.random.key(9)))
    assert len(np.unique(np.asarray(candidates.genomes), axis=0)) == 4
    assert np.array_equal(candidates.parents, np.full((4, 1, 2), -1))
    assert np.array_equal(candidates.noise, [-1] * 4)


def test_the_best_become_parents_the_elite_first():
    candidates, state, info = begun(ga(parents=3), [1.0, 4.0, 2.0, 3.0])
    assert np.array_equal(state.fitness, [4, 3, 2])
    assert np.array_equal(state.identity, [[0, 1], [0, 3], [0, 2]])
    assert np.array_equal(state.genomes, candidates.genomes[jnp.array([1, 3, 2])])
    assert (float(info["ga/elite"]), float(info["ga/fitness"])) == (4.0, 2.5)


def test_a_child_is_its_parent_and_a_slice_of_the_noise():
    strategy = ga(population=50, parents=2, sigma=0.5)
    _, state, _ = begun(strategy, jnp.arange(50.0))
    candidates = strategy.ask(jax.random.key(3), state)
    row = (np.asarray(candidates.parents)[:, 0] == np.asarray(state.identity)[1]).all(axis=1).astype(int)
    assert set(row) == {0, 1}, "both parents have children"
    noise = np.asarray(TABLE.values)[np.asarray(candidates.noise)[:, None] + np.arange(3)]
    assert np.allclose(candidates.genomes, np.asarray(state.genomes)[row] + 0.5 * noise)


def test_the_elite_stays_until_a_child_is_better_and_then_is_no_parent():
    strategy = ga(parents=2)
    _, state, _ = begun(strategy, [1.0, 4.0, 2.0, 3.0])
    _, stayed, info = told(strategy, state, [4.0, 0.0, 3.5, 1.0])
    assert np.array_equal(stayed.identity, [[0, 1], [1, 0]])
    assert float(info["ga/elite"]) == 4.0
    _, replaced, _ = told(strategy, state, [4.5, 0.0, 3.5, 1.0])
    assert np.array_equal(replaced.identity, [[1, 0], [1, 2]])
    assert np.array_equal(replaced.fitness, [4.5, 3.5])


def test_if_all_fitness_is_equal_the_elite_stays_and_the_first_children_join_it():
    strategy = ga(parents=3)
    _, state, _ = begun(strategy, [7.0] * 4)
    assert np.array_equal(state.identity, [[0, 0], [0, 1], [0, 2]])
    _, state, _ = told(strategy, state, [7.0] * 4)
    assert np.array_equal(state.identity, [[0, 0], [1, 0], [1, 1]])


def test_failed_children_are_no_parents():
    strategy = ga(parents=3)
    candidates, state, info = begun(strategy, [NAN, 1.0, NAN, NAN])
    assert np.array_equal(state.fitness, [1, NAN, NAN], equal_nan=True)
    assert float(info["ga/fitness"]) == 1.0
    after = strategy.ask(jax.random.key(5), state)
    assert np.array_equal(after.parents[:, 0], [[0, 1]] * 4), "the only parent"
    assert np.array_equal(strategy.births(candidates, Evaluation(*[jnp.zeros(4)] * 2), state)["kept"], [0, 2, 0, 0])


def test_infinite_fitness_is_fitness():
    _, state, _ = begun(ga(parents=3), [-jnp.inf, NAN, jnp.inf, 0.0])
    assert np.array_equal(state.fitness, [jnp.inf, 0, -jnp.inf])


def test_while_all_have_failed_genomes_are_random():
    strategy = ga()
    _, state, info = begun(strategy, [NAN] * 4)
    assert np.isnan(float(info["ga/elite"]))
    candidates, state, _ = told(strategy, state, [NAN, 2.0, 1.0, NAN], seed=4)
    assert np.array_equal(candidates.parents, np.full((4, 1, 2), -1))
    assert np.array_equal(state.identity, [[1, 1], [1, 2]])
    _, state, _ = told(strategy, state, [NAN] * 4)
    assert np.array_equal(state.identity[0], [1, 1]), "a failed generation does not cost the elite"
    assert np.array_equal(np.isnan(state.fitness), [False, True]), "which is alone now"


def test_without_parents_it_is_random_search_that_remembers_the_best():
    strategy = ga(parents=0)
    _, state, _ = begun(strategy, [1.0, 2.0, 0.0, 0.0])
    candidates, state, info = told(strategy, state, [0.0, 1.5, 0.0, 1.0], seed=1)
    assert np.array_equal(candidates.parents, np.full((4, 1, 2), -1))
    assert float(info["ga/elite"]) == 2.0
    assert np.array_equal(state.identity, [[0, 1]])


def test_the_elite_may_be_chosen_from_outside():
    strategy = ga(parents=3)
    _, state, _ = begun(strategy, [1.0, 4.0, 2.0, 3.0])
    candidates = strategy.ask(jax.random.key(0), state)
    fitness = jnp.array([9.0, 8.0, 7.0, 6.0])
    after, info = strategy.succeed(state, candidates, fitness, jnp.array(2), jnp.array(5.0))
    assert np.array_equal(after.identity, [[1, 2], [1, 0], [1, 1]])
    assert np.array_equal(after.fitness, [5, 9, 8])
    kept, _ = strategy.succeed(state, candidates, fitness, jnp.array(-1), jnp.array(3.5))
    assert np.array_equal(kept.identity, [[0, 1], [1, 0], [1, 1]])
    assert np.array_equal(kept.fitness, [3.5, 9, 8])
    assert float(info["ga/elite"]) == 5.0


def test_births_are_those_who_become_parents():
    strategy = ga(parents=2)
    _, state, _ = begun(strategy, [1.0, 4.0, 2.0, 3.0])
    candidates, after, _ = told(strategy, state, [5.0, 1.0, 0.0, 4.0])
    evaluation = Evaluation(jnp.array([5.0, 1.0, 0.0, 4.0]), jnp.zeros((4, 0)))
    born = Born(operator="mutation", **strategy.births(candidates, evaluation, after))
    assert np.array_equal(born.id, [[1, 0], [1, 1], [1, 2], [1, 3]])
    assert np.array_equal(born.kept, [2, 0, 0, 2])
    assert np.array_equal(born.noise, candidates.noise)
    assert np.array_equal(born.parents, candidates.parents)


@pytest.mark.parametrize("example", GENOMES.values(), ids=GENOMES.keys())
def test_genomes_are_any_tree_of_arrays_and_it_finds_the_top_of_a_hill(example):
    layout = Layout.of(example)

    def hill(key, genomes):
        return Evaluation(-((layout.flat(genomes) - 1) ** 2).sum(1), jnp.zeros((32, 0)))

    system = Scanned(Generational(ga(32, 4, 0.1, example), hill), 150)
    state, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    assert float(info["ga/elite"]) > -0.1
    assert jax.tree.structure(system.system.strategy.genome(state)) == jax.tree.structure(example)
    assert eqx.tree_equal(
        jax.tree.map(jnp.shape, system.system.strategy.genome(state)), jax.tree.map(jnp.shape, example)
    )


@pytest.mark.parametrize(("population", "parents"), [(0, 0), (3, 4), (3, -1)])
def test_impossible_numbers_are_refused(population, parents):
    with pytest.raises(UsageError, match="population of at least 1"):
        ga(population, parents)
