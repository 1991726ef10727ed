import asyncio

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.novelty import Novelty
from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation
from aiga.core.trees import take
from aiga.runs import loop
from aiga.strategies.genetic import Genetic
from aiga.strategies.noise import NoiseTable
from aiga.strategies.seed_chains import Decoder, Extension, Start, on_host
from aiga.systems.deep_ga import PAPER, DeepGA, Drive, Record, driven, figures, make

SMALL = {"population": 8, "parents": 2}
REDUCED = {
    **PAPER, "population": 4, "parents": 2, "proven": 2, "episodes": 2, "limit": 8, "table": 5_000_000,
}  # fmt: skip


def run_steps(system, state, steps):
    """The state and the infos of some steps; the first is number `steps[0]`."""

    async def go():
        current, infos = state, []
        for step in steps:
            current, info = await loop.maybe(system.step(jax.random.fold_in(jax.random.key(0), step), current))
            infos.append(info)
        return current, infos

    return asyncio.run(go())


class Scripted:
    """A world that says what the test wants, generation by generation."""

    numbers = 100

    def __init__(self, *fitness, descriptor=None):
        self.fitness, self.descriptor, self.asked = list(fitness), descriptor, []

    def evaluate(self, key, chains):
        self.asked.append(on_host(chains))
        n, fitness = len(chains.start), self.fitness.pop(0)
        place = jnp.zeros((n, 2)) if self.descriptor is None else jnp.asarray(self.descriptor, float)
        return Evaluation(jnp.asarray(fitness, float), place, jnp.full(n, 10))


def scripted(world, *, population=4, parents=2, novelty=False, proven=0, episodes=2):
    strategy = Genetic(Extension(1000, 0.5), Start(1000, room=1), population, parents)
    return DeepGA(strategy, world, Novelty.empty(None, 2, k=1), novelty=novelty, proven=proven, episodes=episodes)


def started(system, steps=(1,)):
    return run_steps(system, system.init(jax.random.key(9)), steps)


def test_a_child_is_its_parents_chain_and_one_more():
    world = Scripted([1.0, 4.0, 2.0, 3.0], [0.0, 0.0, 9.0, 0.0], [0.0] * 4)
    started(scripted(world), (1, 2, 3))
    first, second, third = world.asked
    assert {len(one) for one in first} == {0}
    assert all(one.parent in (first[1], first[3]) for one in second)
    assert all(one.parent in (second[2], second[0]) for one in third)
    assert {float(power) for one in third for _, power in one.mutations()} == {0.5}


def test_the_elite_is_who_is_best_in_further_episodes():
    world = Scripted([1.0, 4.0, 2.0, 3.0], [5.0, 5.0, 7.0, 9.0], [0.0, 9.0, 1.0, 2.0], [8.5, 8.5, 6.0, 8.0])
    system = scripted(world, proven=2)
    state, infos = started(system)
    first, proof = world.asked
    assert proof == [first[1], first[1], first[3], first[3]], "the two best, each in two episodes"
    assert on_host(state.population.genomes) == [first[3], first[1]]
    assert np.array_equal(state.population.fitness, [8, 4])
    assert infos[0]["search/evaluations"] == 8
    assert infos[0]["search/steps"] == 80
    state, infos = run_steps(system, state, (2,))
    second, proof = world.asked[2:]
    assert proof == [first[3], first[3], second[1], second[1]], "the last elite and the best child"
    assert on_host(state.population.genomes) == [first[3], second[1]], "8.5 is better than 7"
    assert float(infos[0]["ga/elite"]) == 8.5


def test_novelty_is_what_selection_looks_at_if_it_is_asked_for():
    places = [[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [0.0, 3.0]]
    world = Scripted([4.0, 3.0, 2.0, 1.0], descriptor=places)
    state, infos = started(scripted(world, novelty=True))
    assert on_host(state.population.genomes) == [world.asked[0][2], world.asked[0][3]]
    assert np.allclose(state.population.fitness, [9, 2])
    assert np.array_equal(state.elite, [[9, 0]])
    assert int(state.archive.size) == 4
    assert infos[0]["search/best"] == 4.0


def test_the_elites_novelty_is_that_of_today():
    places = [[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [0.0, 3.0]]
    world = Scripted([0.0] * 4, [0.0] * 4, descriptor=places)
    state, infos = started(scripted(world, novelty=True), (1, 2))
    assert float(infos[1]["ga/elite"]) == 0.0, "all have gone where all had been"
    assert int(state.population.identity[0, 0]) == 0, "and so it stays"


def test_those_who_fail_have_no_children_however_novel():
    nan = float("nan")
    world = Scripted([nan, 1.0, nan, nan], descriptor=[[9.0, 9.0], [0.0, 0.0], [5.0, 5.0], [7.0, 0.0]])
    state, _ = started(scripted(world, novelty=True))
    assert np.array_equal(np.isnan(state.population.fitness), [False, True])
    assert on_host(state.population.genomes)[0] == world.asked[0][1]


def test_random_search_never_has_parents():
    world = Scripted([1.0, 4.0, 2.0, 3.0], [0.0] * 4)
    state, infos = started(scripted(world, parents=0), (1, 2))
    assert {len(one) for generation in world.asked for one in generation} == {0}
    assert on_host(state.population.genomes) == [world.asked[0][1]]
    assert np.array_equal(infos[1]["born"].parents, np.full((4, 1, 2), -1))


def test_the_record_counts_what_was_evaluated_and_when_the_goal_was_reached():
    record = Record.none(2)
    record = record.after(Evaluation(jnp.array([-50.0, -20.0]), jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([5, 6])))
    assert record.metrics() == {
        "search/evaluations": 2, "search/steps": 11, "search/best": -20.0, "maze/solved": 0, "maze/solved_after": 0,
    }  # fmt: skip
    failed = float("nan")
    record = record.after(Evaluation(jnp.array([failed, -9.0, -8.0]), jnp.ones((3, 2)), jnp.array([1, 1, 1])))
    assert record.metrics() == {
        "search/evaluations": 5, "search/steps": 14, "search/best": -8.0, "maze/solved": 1, "maze/solved_after": 4,
    }  # fmt: skip
    record = record.after(Evaluation(jnp.full(5000, failed), jnp.zeros((5000, 2)), jnp.zeros(5000, int)))
    assert record.ended.shape == (8192, 2)
    assert np.array_equal(record.ended[:5], [[1, 2], [3, 4], [1, 1], [1, 1], [1, 1]])
    assert int(record.solved) == 4


def test_the_weights_that_were_driven_are_those_of_the_chains_of_the_checkpoint(tmp_path):
    system = make(**SMALL, reward="fitness")
    state, _ = started(system, range(1, 5))
    trees.save(tmp_path / "state.npz", state)
    restored, _ = trees.load(tmp_path / "state.npz", system.init(jax.random.key(1)))
    fresh = Drive(16, NoiseTable.make(2**23), 4)
    alone = Decoder(np.asarray(NoiseTable.make(2**23).values), fresh.scale, 1)
    for ours, theirs in zip(*(on_host(x.population.genomes) for x in (state, restored)), strict=True):
        assert system.world.decoder.weights(ours).tobytes() == alone.weights(theirs).tobytes()
    again = fresh.evaluate(jax.random.key(5), take(restored.population.genomes, slice(0, 1)))
    assert float(again.fitness[0]) == float(state.population.fitness[0]), "an episode in the maze has no chance in it"


def test_in_the_maze_fitness_is_minus_the_distance_to_the_goal_and_the_place_describes():
    drive = Drive(4, NoiseTable.make(2**16), 1)
    idle = jnp.zeros((1, drive.numbers))  # outputs of 1/2: straight on, and stand
    evaluation = driven(jax.random.key(0), drive.layout, idle)
    assert np.array_equal(evaluation.descriptor, [[36, 184]])
    assert np.allclose(evaluation.fitness, -np.hypot(36 - 31, 184 - 20))
    assert int(evaluation.aux[0]) == 134


def test_the_evolution_strategy_spends_as_many_evaluations_in_the_same_maze():
    system = make(search="es", reward="fitness", population=8)
    _, infos = run_steps(system, system.init(jax.random.key(9)), (1, 2))
    assert infos[1]["search/evaluations"] == 16
    assert infos[1]["born"].operator == "openai_es"
    assert infos[1]["maze/solved"] == 0


def test_the_papers_network_plays_atari_from_its_chain():
    state, infos = started(make(**REDUCED), (1, 2))
    assert infos[1]["search/evaluations"] == 2 * (4 + 2 * 2)
    assert infos[1]["search/steps"] == 16 * 8
    assert infos[0]["chain/bytes"] == 8
    assert infos[0]["chain/compression"] == 4 * 4_052_658 / 8
    assert "maze/solved" not in infos[0]
    assert state.record.ended.shape[1] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"search": "es"},
        {"search": "es", "reward": "fitness", "population": 7},
        {"search": "es", "reward": "fitness", "proven": 3},
        {"world": "atari"},
        {"proven": 3},
        {"reward": "fitness", "proven": 300},
        {"reward": "fitness", "proven": 1},
        {"reward": "fitness", "search": "es", "population": 0},
        {"hidden": 0},
        {"sigma": 0.0},
        {"world": "atari", "reward": "fitness", "table": 100},
        {"parents": 300},
        {"table": 100},
    ],
)
def test_options_that_do_not_go_together_are_refused(options):
    with pytest.raises(UsageError):
        make(**options)


def test_the_report_shows_where_everyone_ended(tmp_path):
    run = loop.run("deep_ga", steps=1, out=tmp_path / "run", **SMALL)
    [figure] = figures(run)
    assert max(len(trace.x) for trace in figure.content.data if trace.mode == "markers") == 8
    assert "8 individuals; none reached the goal" in figure.caption
