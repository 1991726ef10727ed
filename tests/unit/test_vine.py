import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.inspect import chain_lives, clouds, robot_lives, vine
from aiga.runs import loop
from aiga.systems import deep_ga, me_es


@pytest.fixture(scope="module")
def robots(tmp_path_factory):
    options = {"hidden": 4, "pairs": 4, "repeats": 2, "visit": 3, "horizon": 8, "side": 6, "table": 4096, "block": 2}
    return loop.run("me_es", seed=3, steps=2, out=tmp_path_factory.mktemp("runs") / "robots", **options)


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    options = {"population": 6, "parents": 2, "table": 20_000}
    return loop.run("deep_ga", steps=4, workers=1, out=tmp_path_factory.mktemp("runs") / "drivers", **options)


def test_every_candidate_of_me_es_lives_as_it_did_to_the_last_bit(robots):
    system, recorded = me_es.make(**robots.options), robots.clouds()
    assert [(one.step, one.generation, one.size) for one in recorded] == [(i // 3, i % 3, 8) for i in range(6)]
    for one in recorded[::5]:
        for row in range(one.size):
            member = clouds.member(robots, f"c{one.id}.{row}")
            life = robot_lives.live(member, system.strategy, system.block, system.evaluate.trace)
            assert life.fitness == member.cloud.fitness[row]
            assert np.array_equal(life.behaviour, member.cloud.behaviour[row])
            assert np.array_equal(life.paths[0, -1], life.behaviour)


def test_a_visit_begins_at_an_elite_of_the_map_and_goes_on_from_what_was_judged(robots):
    clouds_, lineage = robots.clouds(), robots.lineage()
    visit = robots.cloud(4)
    row = lineage["id"].tolist().index(visit.about.parent)
    assert visit.about.fitness == pytest.approx(lineage["fitness"][row])
    assert visit.parent_behaviour[0] == pytest.approx(visit.about.fitness), "in the trap, fitness is the place along x"
    assert all(np.isfinite(one.fitness) for one in clouds_)


def test_every_elite_of_me_es_is_judged_again_as_it_was(robots):
    system, grid = me_es.make(**robots.options), robots.state.map
    for row in np.flatnonzero(np.asarray(grid.occupied)):
        birth, index = np.asarray(grid.identity)[row].tolist()
        individual = vine.find(robots, str((birth << 32) + index))
        life = robot_lives.judged(system, robots, individual)
        assert life.fitness == grid.fitness[row]
        assert np.array_equal(life.behaviour, grid.descriptor[row])


def test_chains_are_built_again_from_the_lineage_and_drive_as_they_did_to_the_last_bit(drivers):
    system = deep_ga.make(**drivers.options)
    lengths = []
    for one in drivers.clouds():
        cloud = drivers.cloud(one.id)
        chain = chain_lives.chain_of(drivers, cloud, 5, system.strategy)
        life = chain_lives.lived(system, chain, jax.random.wrap_key_data(jax.numpy.asarray(cloud.key[2:])), 6, 5)
        lengths.append(len(chain))
        assert life.fitness == cloud.fitness[5]
        assert np.array_equal(life.behaviour, cloud.behaviour[5])
    assert lengths[0] == 0
    assert max(lengths) > 1


def test_a_replay_says_how_well_it_agrees(robots, drivers):
    [figure] = vine.replay(robots, "c1.0")
    assert "the fitness is the same to the last bit, the behaviour the same to the last bit" in figure.caption
    [figure] = vine.replay(drivers, "c4.0")
    assert "the same to the last bit" in figure.caption
    assert vine.compared([1.0, 2.0], [1.0, 2.5]) == "different by 0.5"


def test_who_can_live_again_is_known_without_jax(robots):
    alive = np.asarray(robots.state.map.identity)[np.asarray(robots.state.map.occupied)][0].tolist()
    names = ["c1.0", str((alive[0] << 32) + alive[1]), "c1.99", "c99.0", str(2**40), "-1", "x", "9" * 30]
    program = (
        "import sys; from aiga.inspect import vine; from aiga.runs.record import Run; run = Run(sys.argv[1])\n"
        "print([vine.replayable(run, name) for name in sys.argv[2:]], 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, robots.directory, *names], capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"{[True, True] + 6 * [False]} False"


def test_nobody_else_can(robots):
    ask = partial(vine.replay, robots)
    for name in ("x", "c1", str(2**40)):
        with pytest.raises(UsageError):
            ask(name)
