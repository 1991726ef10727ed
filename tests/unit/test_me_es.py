import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.grid import Grid, GridCells
from aiga.archives.novelty import Novelty
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation
from aiga.core.trees import Layout
from aiga.runs import loop
from aiga.runs.record import Run
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import OpenAIES
from aiga.systems.me_es import MEES, PAPER, blended, figures, make

SMALL = {"hidden": 4, "pairs": 4, "repeats": 2, "visit": 3, "horizon": 5, "side": 6, "table": 4096}
EXAMPLE = {"place": jnp.zeros(2), "rest": jnp.zeros((2, 3))}


def begun(key) -> dict:
    """A genome that is no network."""
    return {"place": 0.1 * jax.random.normal(key, (2,)), "rest": jnp.ones((2, 3))}


def at_their_place(key, genomes, params=None, normaliser=None) -> Evaluation:
    """A world without time: the behaviour is a part of the genome, and the fitness its first number."""
    del key, params, normaliser
    return Evaluation(genomes["place"][:, 0], genomes["place"])


def system(algorithm: str = "me_es", population: int = 1) -> MEES:
    """Four pairs, two episodes a mean, three generations a visit."""
    layout = Layout.of(EXAMPLE)
    strategy = OpenAIES(NoiseTable.make(4096), layout, begun, pairs=4, sigma=0.05, learning_rate=0.03)
    empty = Grid.empty(jnp.zeros(layout.size), GridCells((-1.0, -1.0), (1.0, 1.0), (40, 40)), parents=1)
    seen = Novelty.empty(None, 2, squared=True)
    return MEES(strategy, at_their_place, empty, seen, None, None, algorithm, "both", "frontier", population, 2, 3)


def steps(system: MEES, count: int):
    state, infos = system.init(jax.random.key(0)), []
    for i in range(count):
        state, info = system.step(jax.random.key(i + 1), state)
        infos.append(info)
    return state, infos


def test_me_es_explores_and_exploits_by_turns_and_remembers_every_behaviour():
    state, infos = steps(system(), 3)
    assert [float(info["me_es/novelty_weight"]) for info in infos] == [1, 0, 1]
    assert [int(info["me_es/behaviours"]) for info in infos] == [4, 7, 10]
    assert int(state.map.births) == 10
    kept = {(0, 0)} | {tuple(row) for info in infos for row, ok in zip(*_born(info), strict=True) if ok}
    parents = {tuple(row) for info in infos for row in np.asarray(info["born"].parents).reshape(-1, 2).tolist()}
    assert parents <= kept, "a parent that nobody has recorded"


def test_genomes_are_any_tree_of_arrays_and_the_map_keeps_what_was_judged():
    ours = system()
    state, _ = steps(ours, 3)
    kept = np.asarray(state.map.occupied)
    genomes = ours.strategy.layout.tree(state.map.genomes[kept])
    assert genomes["rest"].shape == (kept.sum(), 2, 3)
    assert np.allclose(genomes["place"], state.map.descriptor[kept])
    assert np.allclose(genomes["place"][:, 0], state.map.fitness[kept])


def _born(info):
    return np.asarray(info["born"].id).tolist(), np.asarray(info["born"].kept).tolist()


def test_me_ga_has_as_many_episodes_and_leaves_the_cloud_where_it_was():
    ours = system("me_ga")
    assert ours.children == (2 * 4 + 2) // 2
    before = ours.init(jax.random.key(0))
    after, info = ours.step(jax.random.key(1), before)
    assert np.array_equal(before.clouds.mean, after.clouds.mean)
    assert info["born"].id.shape == (3 * 5, 2)


def test_nsra_es_seeks_novelty_when_it_is_stale_and_the_return_when_that_improves():
    ours = system("nsra_es", population=2)
    _, state, rows = ours.begin(jax.random.key(0))
    assert rows.tolist() == [0, 1]
    assert float(ours._weighed(state, jnp.array(-3.0)).weight) == 0.5, "the first return is no improvement"
    state = state._replace(record=jnp.array(10.0))
    assert float(ours._weighed(state, jnp.array(10.9)).weight) == 0.5
    improved = ours._weighed(state, jnp.array(11.1))
    assert np.isclose(improved.weight, 0.45)
    assert float(improved.record) == np.float32(11.1)
    stale = state._replace(stale=jnp.array(19, jnp.int32))
    tired = ours._weighed(stale, jnp.array(10.0))
    assert np.isclose(tired.weight, 0.55)
    assert int(tired.stale) == 0


def test_utilities_are_ranks_of_novelty_of_the_return_or_of_both():
    seen, _ = Novelty.empty(None, 1, k=1, squared=True).add(None, Evaluation(jnp.zeros(1), jnp.zeros((1, 1))))
    evaluation = Evaluation(jnp.array([3.0, 2.0, 1.0]), jnp.array([[0.0], [1.0], [-3.0]]))
    for weight, expected in ((0.0, [0.5, 0, -0.5]), (1.0, [-0.5, 0, 0.5]), (0.75, [-0.25, 0, 0.25])):
        assert np.allclose(blended(seen, jnp.array(weight), evaluation), expected)


@pytest.fixture(scope="module")
def normalised(tmp_path_factory) -> Run:
    """A step of the trap with normalised observations."""
    return loop.run("me_es", steps=1, out=tmp_path_factory.mktemp("runs") / "one", normalise=True, **SMALL)


def test_the_statistics_of_what_was_observed_are_part_of_the_state(normalised):
    first, generation = 2 * 5, (2 * 4 + 2) * 5
    assert float(normalised.state.normaliser.seen) == first + 3 * generation, "every step of every episode"
    assert float(normalised.state.normaliser.mean[3]) == 1, "the trap shows a one"
    assert np.isclose(normalised.state.normaliser.mean[2], np.mean([0.2, 0.4, 0.6, 0.8, 1.0])), "and the time"
    assert make(**SMALL).normaliser is None


def test_the_report_shows_every_elite_by_its_behaviour(normalised):
    [figure] = figures(normalised)
    [points] = figure.content.data
    kept = np.asarray(normalised.state.map.occupied)
    assert np.array_equal(points.x, np.asarray(normalised.state.map.descriptor)[kept, 0])
    assert np.array_equal(points.marker.color, np.asarray(normalised.state.map.fitness)[kept])


def test_the_worlds_of_brax_make_two_steps():
    reduced = {"hidden": 4, "pairs": 2, "repeats": 1, "visit": 1, "horizon": 2, "side": 3, "table": 16384}
    state, infos = steps(make(world="ant", cells="best", normalise=True, test=9, **reduced), 2)
    touched = np.asarray(state.seen.descriptor)[:3]
    assert set(touched.flat) <= {0, 0.5, 1}, "of two steps, each of four feet touches the floor in some"
    assert touched.shape == (3, 4)
    assert touched.max() > 0
    assert float(state.normaliser.seen) == 2 + 2 * (4 + 1) * 2
    assert np.isfinite(infos[1]["me_es/fitness"])
    assert np.isnan(infos[1]["damage/recovered"]), "it is not yet tested"


def test_the_papers_settings_build_the_deceptive_humanoid():
    paper = eqx.filter_eval_shape(lambda: make(**{**PAPER, "table": 2**19}))
    assert paper.empty.cells.count == 91**2
    assert paper.strategy.layout.size == (244 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 17
    assert (paper.repeats, paper.strategy.pairs, paper.block) == (30, 5000, 500)


def test_options_of_zero_are_refused_and_blocks_that_do_not_fit():
    with pytest.raises(UsageError, match="above zero"):
        make(pairs=0)
    with pytest.raises(UsageError, match="--clouds is -1"):
        make(clouds=-1)
    with pytest.raises(UsageError, match="a divisor of 32 pairs"):
        make(block=5)
