import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.data.fewshot import episode, flat, gathered, grouped, stream, trajectory


def key(seed=0):
    return jax.random.key(seed)


def test_a_stream_shows_each_class_in_a_row_and_asks_about_its_other_pictures():
    """ANML's longest test: 600 classes, 9,000 pictures learnt from once, 3,000 asked about."""
    train, train_y, test, test_y = map(np.asarray, stream(key(), 650, 600))
    assert (len(train), len(test)) == (9_000, 3_000)
    assert (train_y == np.arange(600).repeat(15)).all()
    assert (test_y == np.arange(600).repeat(5)).all()
    classes = train.reshape(600, 15) // 20
    assert (classes == classes[:, :1]).all()
    assert (classes[:, 0] == test.reshape(600, 5)[:, 0] // 20).all()
    assert len(set(classes[:, 0])) == 600
    assert len({*train, *test}) == 12_000, "every picture once"
    assert max(train) < 13_000


def test_streams_of_other_keys_have_other_classes_and_pictures():
    one, again, other = stream(key(), 50, 5), stream(key(), 50, 5), stream(key(1), 50, 5)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), one, again))
    assert (one.train != other.train).any()


def test_a_trajectory_is_all_of_one_class_and_some_of_all():
    keys = jax.random.split(key(), 200)
    drawn = jax.jit(jax.vmap(lambda k: trajectory(k, 30)))(keys)
    assert drawn.train.shape == (200, 20)
    assert drawn.remember.shape == (200, 64)
    assert (drawn.train // 20 == drawn.label[:, None]).all()
    assert (np.sort(drawn.train % 20) == np.arange(20)).all()
    assert (drawn.remember // 20 == drawn.remember_y).all()
    assert set(np.asarray(drawn.label)) == set(range(30))
    assert set(np.asarray(drawn.remember).ravel()) == set(range(600))


def test_an_episode_shows_every_class_in_every_round_and_asks_about_a_picture_it_did_not_show():
    keys = jax.random.split(key(), 100)
    e = jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda k: episode(k, 30, 5, 3, 2)))(keys))
    assert (np.sort(e.train_y.reshape(100, 3, 5)) == np.arange(5)).all()
    for i in range(100):
        assert len({*e.train[i], *e.test[i]}) == 17
        number = dict(zip(e.train[i] // 20, e.train_y[i], strict=True))
        turns = dict(zip(e.train[i] // 20, e.train_turns[i], strict=True))
        assert len(number) == 5
        assert [number[c] for c in e.test[i] // 20] == e.test_y[i].tolist()
        assert [turns[c] for c in e.test[i] // 20] == e.test_turns[i].tolist()
        assert all(turns[c] == t for c, t in zip(e.train[i] // 20, e.train_turns[i], strict=True))
    assert set(e.train_turns.ravel()) == {0, 1, 2, 3}
    assert len({tuple(order) for order in e.train_y}) > 20


def test_pictures_are_gathered_by_number_and_turned():
    classes = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 2, 2)
    pictures = flat(classes)
    assert pictures.shape == (6, 2, 2)
    found = gathered(pictures, jnp.array([[4, 0]]), jnp.array([[0, 3]]))
    assert found.shape == (1, 2, 2, 2)
    np.testing.assert_allclose(found[0, 0] * 255, classes[1, 1], rtol=1e-6)
    np.testing.assert_allclose(found[0, 1] * 255, np.rot90(classes[0, 0], 3), rtol=1e-6)
    np.testing.assert_allclose(gathered(pictures, jnp.array(5)) * 255, classes[1, 2], rtol=1e-6)


def test_labelled_pictures_are_grouped_by_class():
    labels = np.array([1, 0, 1, 0, 1], np.uint8)
    pictures = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    assert grouped(pictures, labels, 2)[..., 0, 0].tolist() == [[1, 3], [0, 2]]
    with pytest.raises(UsageError, match="3 pictures of the rarest class were asked for, of 2: give 1 to 2"):
        grouped(pictures, labels, 3)


def test_more_classes_or_pictures_than_there_are_is_one_sentence():
    with pytest.raises(UsageError, match="60 classes were asked for, of 50: give 1 to 50"):
        stream(key(), 50, 60)
    with pytest.raises(UsageError, match="20 pictures of a class were asked for, of 19: give 1 to 19"):
        stream(key(), 50, 10, train=20)
    with pytest.raises(UsageError, match="21 pictures of a class"):
        trajectory(key(), 50, 21)
    with pytest.raises(UsageError, match="6 classes"):
        episode(key(), 5, 6)
    with pytest.raises(UsageError, match="21 pictures of a class"):
        episode(key(), 5, 5, 20)
