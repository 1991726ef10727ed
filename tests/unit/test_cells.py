"""Go-Explore's archive against a dictionary, and the traps it must not fall into."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiga.archives.cells import Blobs, Cells, Found, nature_weights, pack, rebin, rooted, unpack, v1_weights
from aiga.core import trees

ORIGIN = bytes(range(200))


def found(rows, frames=False):
    """From (rollout, key, gain, steps) per candidate."""
    rollout, keys, gains, steps = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Found(
        np.array(rollout, int),
        np.array(keys, np.uint8).reshape(-1, 2),
        np.array(gains, float),
        np.array(steps, int),
        np.full(len(rows), -1),
        [ORIGIN[: 100 + i % 7] + bytes(k) for i, k in enumerate(keys)],
        [bytes(k) for k in keys] if frames else [],
    )


def long_actions(n):
    return [np.arange(100, dtype=np.uint8) + r for r in range(n)]


def contents(archive):
    n = int(archive.size)
    columns = (archive.score, archive.length, archive.seen, archive.chosen, archive.chosen_since_new)
    return {
        archive.keys[r].tobytes(): (*(float(c[r]) for c in columns), archive.snapshot(r), archive.actions(r).tobytes())
        for r in range(n)
    }


candidates = st.lists(
    st.tuples(st.integers(0, 2), st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(0, 3), st.integers(1, 9)),
    max_size=12,
    unique_by=lambda row: row[:2],  # a rollout reports a cell once
)


@settings(deadline=None, max_examples=60)
@given(st.lists(candidates, max_size=4))
def test_the_archive_keeps_what_a_dictionary_would_keep(batches):
    archive = rooted(ORIGIN, bytes(2))
    best = {bytes(2): (0.0, 0)}
    for birth, batch in enumerate(batches, 1):
        rows = np.arange(3) % int(archive.size)
        starts = archive.at(rows)
        bases = [(float(archive.score[r]), int(archive.length[r])) for r in rows]
        archive, added = archive.add(found(batch), starts, long_actions(3), birth)
        offers = {}
        for rollout, key, gain, steps in batch:
            offer = (bases[rollout][0] + gain, bases[rollout][1] + steps)
            key = bytes(key)
            offers[key] = min(offers.get(key, offer), offer, key=lambda o: (-o[0], o[1]))
        for key, offer in offers.items():
            if key not in best or (-offer[0], offer[1]) < (-best[key][0], best[key][1]):
                best[key] = offer
        assert {k: v[:2] for k, v in contents(archive).items()} == best
        assert (archive.find(archive.keys[: archive.size]) == np.arange(archive.size)).all()
        for row in added.row.tolist():
            assert len(archive.actions(row)) == archive.length[row]
            assert archive.snapshot(row).endswith(archive.keys[row].tobytes())


@settings(deadline=None, max_examples=30)
@given(candidates, st.randoms(use_true_random=False))
def test_the_order_of_candidates_matters_for_ties_alone(batch, random):
    shuffled = list(batch)
    random.shuffle(shuffled)
    archives = []
    for rows in (batch, shuffled):
        archive = rooted(ORIGIN, bytes(2))
        archives.append(archive.add(found(rows), archive.at(np.zeros(3, int)), long_actions(3), 1)[0])
    one, other = ({k: v[:5] for k, v in contents(a).items()} for a in archives)
    assert one == other


@settings(deadline=None, max_examples=30)
@given(candidates)
def test_offering_the_same_again_changes_no_elite(batch):
    archive = rooted(ORIGIN, bytes(2))
    starts = archive.at(np.zeros(3, int))
    once, _ = archive.add(found(batch), starts, long_actions(3), 1)
    twice, added = once.add(found(batch), starts, long_actions(3), 2)
    assert len(added.row) == 0
    np.testing.assert_array_equal(once.score, twice.score)
    np.testing.assert_array_equal(once.id, twice.id)


def test_adding_leaves_the_archive_as_it_was():
    archive = rooted(ORIGIN, bytes(2))
    before = jax.tree.map(np.copy, archive)
    archive.add(found([(0, (1, 2), 5, 3), (0, (0, 0), 7, 1)]), archive.at(np.zeros(1, int)), long_actions(1), 1)
    jax.tree.map(np.testing.assert_array_equal, archive, before)


def test_a_cell_overwritten_within_a_batch_does_not_lend_its_new_score_to_rollouts_from_its_old_state():
    """With the cell's current score as the base, rewards were counted twice: fourfold scores that looked plausible."""
    archive = rooted(ORIGIN, bytes(2))
    starts = archive.at(np.zeros(2, int))
    batch = [(0, (0, 0), 100, 10), (1, (5, 5), 100, 10)]
    archive, _ = archive.add(found(batch), starts, long_actions(2), 1)
    assert archive.score[0] == 100
    assert archive.score[1] == 100
    late, _ = archive.add(found([(0, (6, 6), 100, 4)]), starts, long_actions(1), 2)  # chosen before the overwriting
    row = int(late.find(np.array([[6, 6]], np.uint8))[0])
    assert (late.score[row], late.length[row]) == (100, 4)
    assert len(late.actions(row)) == 4


def test_no_row_is_lost_on_doubling():
    archive = rooted(ORIGIN, bytes(2))
    keys = [(x, y) for x in range(64) for y in range(64)]
    for birth, chunk in enumerate(np.array_split(np.array(keys), 5), 1):
        rows = [(0, tuple(k), int(k[0]), 1 + int(k[1])) for k in chunk.tolist()]
        archive, _ = archive.add(found(rows), archive.at(np.zeros(1, int)), long_actions(1), birth)
    assert archive.size == 64 * 64
    assert len(archive.keys) == 4096
    stored = contents(archive)
    assert all(stored[bytes(k)][0] == k[0] for k in keys)


def test_a_saved_archive_is_the_same_when_loaded(tmp_path):
    archive = rooted(ORIGIN, bytes(2))
    rows = [(0, (x, x % 5), x, 1 + x) for x in range(40)]
    archive, _ = archive.add(found(rows), archive.at(np.zeros(1, int)), long_actions(1), 1)
    trees.save(tmp_path / "archive.npz", archive)
    loaded, _ = trees.load(tmp_path / "archive.npz", rooted(ORIGIN, bytes(2)))
    assert contents(loaded) == contents(archive)
    assert (loaded.find(archive.keys[:40]) == np.arange(40)).all()


def test_visits_and_choices_are_counted_per_rollout():
    archive = rooted(ORIGIN, bytes(2))
    batch = [(0, (1, 1), 0, 5), (1, (1, 1), 0, 6)]
    archive, _ = archive.add(found(batch), archive.at(np.zeros(3, int)), long_actions(3), 1)
    new = archive.find(np.array([[1, 1]], np.uint8))[0]
    assert (archive.seen[new], archive.chosen[0], archive.chosen_since_new[0]) == (2, 3, 0)
    archive, _ = archive.add(found(batch), archive.at(np.zeros(2, int)), long_actions(2), 2)
    assert (archive.seen[new], archive.chosen[0], archive.chosen_since_new[0]) == (4, 5, 2)


def test_an_improved_cell_starts_counting_again_if_asked():
    archive = rooted(ORIGIN, bytes(2))
    archive, _ = archive.add(found([(0, (1, 1), 0, 5)]), archive.at(np.zeros(1, int)), long_actions(1), 1)
    better = found([(0, (1, 1), 1, 5)])
    kept, _ = archive.add(better, archive.at(np.zeros(1, int)), long_actions(1), 2)
    again, _ = archive.add(better, archive.at(np.zeros(1, int)), long_actions(1), 2, reset_counts=True)
    assert (kept.seen[1], again.seen[1]) == (2, 0)


def test_lineage_names_the_elite_that_was_chosen_and_the_one_that_left():
    archive = rooted(ORIGIN, bytes(2))
    archive, first = archive.add(found([(0, (1, 1), 0, 5)]), archive.at(np.zeros(1, int)), long_actions(1), 1)
    archive, second = archive.add(found([(0, (1, 1), 9, 5)]), archive.at(np.array([1])), long_actions(1), 2)
    assert first.status.tolist() == [2]
    assert second.status.tolist() == [1]
    assert second.replaced.tolist() == [[1, 0]]
    assert archive.id[1].tolist() == [2, 0]
    assert archive.parent[1].tolist() == [1, 0]


def test_rebinning_keeps_the_best_of_the_elites_that_meet():
    archive = rooted(ORIGIN, bytes(2), frame=bytes(2))
    rows = [(0, (x, 1), x % 4, 10 - x) for x in range(8)]
    archive, _ = archive.add(found(rows, frames=True), archive.at(np.zeros(1, int)), long_actions(1), 1)
    merged = rebin(archive, lambda picture: bytes([picture[0] // 4, picture[1], 0]))
    got = {merged.keys[r].tobytes(): (merged.score[r], merged.length[r]) for r in range(int(merged.size))}
    assert got == {bytes([0, 0, 0]): (0, 0), bytes([0, 1, 0]): (3, 7), bytes([1, 1, 0]): (3, 3)}
    assert (merged.find(merged.keys) == np.arange(3)).all()
    row = int(merged.find(np.array([[1, 1, 0]], np.uint8))[0])
    assert len(merged.actions(row)) == 3


def test_weights_of_both_papers_by_hand():
    archive = rooted(ORIGIN, bytes(2))
    archive, _ = archive.add(found([(0, (1, 1), 0, 5)]), archive.at(np.zeros(1, int)), long_actions(1), 1)
    archive.seen[:2], archive.chosen[:2] = (3, 0), (4, 0)
    np.testing.assert_allclose(nature_weights(archive, domain=False), [0.5, 1.0])
    v1 = [3 / 3.001**0.5 + 0.1 / 4.001**0.5 + 3e-5, 3.1 / 0.001**0.5 + 3e-5]
    np.testing.assert_allclose(v1_weights(archive, domain=False), v1)


def test_domain_weights_prefer_levels_frontiers_and_more_keys():
    cells = [(1, 4, 5, 5, 0b1), (1, 4, 6, 5, 0b0), (1, 4, 5, 5, 0b0), (0, 4, 9, 9, 0b11)]
    keys = np.array(cells, np.uint8)
    archive = rooted(ORIGIN, bytes(cells[0]))
    offered = Found(np.zeros(4, int), keys, np.zeros(4), np.ones(4, int), np.full(4, -1), [ORIGIN] * 4, [])
    archive, _ = archive.add(offered, archive.at(np.zeros(1, int)), long_actions(1), 1)
    archive.seen[:4] = 0
    expected = [1 + 1 + 0.2, 1 + 1 + 0.1, 1 + 0 + 0.1, 0.1 * (1 + 1 + 0.2)]
    np.testing.assert_allclose(nature_weights(archive, domain=True), expected)


def test_a_longer_blob_widens_the_rows_and_loses_nothing():
    blobs = Blobs.empty(2).put(np.array([0]), [b"abc"], 2)
    blobs = blobs.put(np.array([1]), [b"x" * 1000], 4)
    assert (blobs.get(0), blobs.get(1), len(blobs.data)) == (b"abc", b"x" * 1000, 4)


@pytest.mark.parametrize("blob", [b"", b"abc", ORIGIN, ORIGIN[::-1] * 50])
def test_packing_is_undone(blob):
    assert unpack(pack(blob, ORIGIN), ORIGIN) == blob


def test_an_empty_archive_finds_nothing():
    assert Cells.empty(ORIGIN, 2).find(np.zeros((3, 2), np.uint8)).tolist() == [-1, -1, -1]
