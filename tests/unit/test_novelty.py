import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import KDTree

from aiga.archives.novelty import Novelty, nearest
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation


def behaving(*descriptor: tuple[float, ...]) -> Evaluation:
    return Evaluation(jnp.zeros(len(descriptor)), jnp.array(descriptor))


def line(k: int = 2, **options) -> Novelty:
    """Four behaviours on a line, at 0, 1, 3 and 7."""
    archive = Novelty.empty(jnp.array(0.0), 1, k=k, capacity=8, **options)
    return archive.add(jnp.arange(4.0), behaving((0.0,), (1.0,), (3.0,), (7.0,)))[0]


def test_novelty_is_the_mean_distance_to_the_nearest():
    assert line().novelty(jnp.array([[0.0], [4.0], [20.0]])).tolist() == [0.5, 2.0, 15.0]


def test_squared_distances_are_an_option():
    assert line(squared=True).novelty(jnp.array([[0.0], [4.0], [20.0]])).tolist() == [0.5, 5.0, 229.0]


def test_fewer_than_k_rows_are_all_counted_and_none_is_infinitely_far():
    assert line(k=10).novelty(jnp.array([[0.0]])).tolist() == [2.75]
    assert Novelty.empty(None, 2).novelty(jnp.zeros((2, 2))).tolist() == [np.inf, np.inf]
    assert Novelty.empty(None, 2, capacity=0).novelty(jnp.zeros((1, 2))).tolist() == [np.inf]


def test_what_is_not_finite_is_never_kept_and_has_no_novelty():
    archive, status = line().add(jnp.zeros(2), behaving((jnp.nan,), (jnp.inf,)))
    assert status.tolist() == [0, 0]
    assert int(archive.size) == 4
    assert np.isnan(archive.novelty(jnp.array([[jnp.nan], [-jnp.inf]]))).all()


def test_where_all_behave_the_same_nothing_is_novel_and_a_threshold_admits_the_first_batch_alone():
    archive = Novelty.empty(None, 1, k=3, capacity=8, threshold=0.0)
    same = behaving(*[(5.0,)] * 4)
    archive, first = archive.add(None, same)
    archive, second = archive.add(None, same)
    assert (first.tolist(), second.tolist()) == ([2] * 4, [0] * 4)
    assert archive.novelty(same.descriptor, with_batch=True).tolist() == [0] * 4


def test_nobody_asked_gives_nothing():
    assert line().novelty(jnp.zeros((0, 1))).shape == (0,)
    assert Novelty.empty(None, 1).novelty(jnp.zeros((0, 1)), with_batch=True).shape == (0,)


def test_the_others_of_the_batch_are_neighbours_but_nobody_its_own():
    asked = jnp.array([[4.0], [4.5], [jnp.nan]])
    found = line().novelty(asked, with_batch=True)
    assert found[:2].tolist() == [0.75, 1.0]
    assert np.isnan(found[2])
    alone = Novelty.empty(None, 1, k=2).novelty(asked, with_batch=True)
    assert alone[:2].tolist() == [0.5, 0.5]


def test_a_threshold_admits_who_was_novel_when_the_batch_came():
    archive, status = line(threshold=1.9).add(jnp.zeros(4), behaving((0.0,), (4.0,), (4.0,), (20.0,)))
    assert status.tolist() == [0, 2, 2, 2]
    assert archive.descriptor[:7, 0].tolist() == [0, 1, 3, 7, 4, 4, 20]


def test_a_probability_admits_a_share_and_the_same_again():
    empty = Novelty.empty(None, 1, capacity=4000, probability=0.25)
    everyone = Evaluation(jnp.zeros(2000), jnp.zeros((2000, 1)))
    archive, first = empty.add(None, everyone)
    _, second = archive.add(None, everyone)
    assert abs(int(archive.size) - 500) < 97  # five standard deviations
    assert np.array_equal(first, empty.add(None, everyone)[1])
    assert not np.array_equal(first, second)


def test_no_row_is_lost_on_doubling():
    archive = line(k=3, squared=True, threshold=-1.0)
    roomy = archive.with_room(5)
    assert roomy.capacity == 16
    assert archive.with_room(4) is archive
    assert roomy.novelty(jnp.array([[2.0]])).tolist() == archive.novelty(jnp.array([[2.0]])).tolist()
    assert roomy.lineage.genomes[:4].tolist() == [0, 1, 2, 3]
    with pytest.raises(eqx.EquinoxRuntimeError, match="with_room"):
        archive.add(jnp.zeros(5), behaving(*[(1.0,)] * 5))


@pytest.mark.parametrize(("n", "m", "d", "k"), [(300, 1000, 2, 10), (5, 37, 3, 7), (7, 11, 1, 11), (3, 500, 12, 1)])
def test_the_nearest_are_those_of_a_kd_tree(n, m, d, k):
    random = np.random.default_rng(0)
    points, asked = random.normal(size=(m, d)).astype(np.float32), random.normal(size=(n, d)).astype(np.float32)
    expected = KDTree(points).query(asked, range(1, k + 1))[0]
    found = jax.jit(nearest, static_argnums=2)(jnp.array(asked), jnp.array(points), k)
    assert np.allclose(np.sqrt(found), expected, rtol=1e-5, atol=1e-6)


def test_behaviours_close_together_far_from_the_origin_are_told_apart():
    """|a|^2 + |b|^2 - 2 a.b would lose all of these distances in rounding."""
    points = 1000 + jnp.arange(64.0)[:, None] / 1024
    found = Novelty.empty(None, 1, k=3, capacity=64).add(None, Evaluation(jnp.zeros(64), points))[0].novelty(points[:1])
    assert found.tolist() == [1 / 1024]


def test_impossible_options_are_refused():
    with pytest.raises(UsageError, match="`k` 0"):
        Novelty.empty(None, 2, k=0)
    with pytest.raises(UsageError, match=r"`probability` 1\.5"):
        Novelty.empty(None, 2, probability=1.5)
