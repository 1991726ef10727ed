import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.novelty import Novelty
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation
from aiga.systems.me_es import MEES, blended, make

SMALL = {"hidden": 4, "pairs": 4, "repeats": 2, "visit": 3, "horizon": 5, "side": 6, "table": 4096}


def steps(system: MEES, count: int):
    state, infos = system.init(jax.random.key(0)), []
    for i in range(count):
        state, info = system.step(jax.random.key(i + 1), state)
        infos.append(info)
    return state, infos


def test_me_es_explores_and_exploits_by_turns_and_remembers_every_behaviour():
    state, infos = steps(make(**SMALL), 3)
    assert [float(info["me_es/novelty_weight"]) for info in infos] == [1, 0, 1]
    assert [int(info["me_es/behaviours"]) for info in infos] == [4, 7, 10]
    assert int(state.map.births) == 10
    kept = {(0, 0)} | {tuple(row) for info in infos for row, ok in zip(*_born(info), strict=True) if ok}
    parents = {tuple(row) for info in infos for row in np.asarray(info["born"].parents).reshape(-1, 2).tolist()}
    assert parents <= kept, "a parent that nobody has recorded"


def _born(info):
    return np.asarray(info["born"].id).tolist(), np.asarray(info["born"].kept).tolist()


def test_me_ga_has_as_many_episodes_and_leaves_the_cloud_where_it_was():
    system = make(algorithm="me_ga", **SMALL)
    assert system.children == (2 * 4 + 2) // 2
    before = system.init(jax.random.key(0))
    after, info = system.step(jax.random.key(1), before)
    assert np.array_equal(before.clouds.mean, after.clouds.mean)
    assert info["born"].id.shape == (3 * 5, 2)


def test_nsra_es_seeks_novelty_when_it_is_stale_and_the_return_when_that_improves():
    system = make(algorithm="nsra_es", population=2, **SMALL)
    state = system.init(jax.random.key(0))._replace(record=jnp.array(10.0))
    assert state.clouds.mean.shape[0] == 2
    weigh = system._weighed
    assert float(weigh(state, jnp.array(10.9)).weight) == 0.5
    improved = weigh(state, jnp.array(11.1))
    assert np.isclose(improved.weight, 0.45)
    assert float(improved.record) == np.float32(11.1)
    stale = state._replace(stale=jnp.array(19, jnp.int32))
    tired = weigh(stale, jnp.array(10.0))
    assert np.isclose(tired.weight, 0.55)
    assert int(tired.stale) == 0


def test_utilities_are_ranks_of_novelty_of_the_return_or_of_both():
    seen, _ = Novelty.empty(None, 1, k=1, squared=True).add(None, Evaluation(jnp.zeros(1), jnp.zeros((1, 1))))
    evaluation = Evaluation(jnp.array([3.0, 2.0, 1.0]), jnp.array([[0.0], [1.0], [-3.0]]))
    for weight, expected in ((0.0, [0.5, 0, -0.5]), (1.0, [-0.5, 0, 0.5]), (0.75, [-0.25, 0, 0.25])):
        assert np.allclose(blended(seen, jnp.array(weight), evaluation), expected)


def test_options_of_zero_are_refused():
    with pytest.raises(UsageError, match="above zero"):
        make(pairs=0)
