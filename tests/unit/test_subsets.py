import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.subsets import Subsets, combined, every_subset, sampled_subsets
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation
from aiga.selection.nsga2 import survivors


def offer(archive, scores, descriptor=None):
    """Candidates whose genome is their first score."""
    scores = jnp.array(scores, float)
    descriptor = jnp.zeros((len(scores), 0)) if descriptor is None else jnp.array(descriptor, float)
    return archive.place(scores[:, :1], Evaluation(scores.mean(axis=1), descriptor, scores))


def inside(archive, b):
    """The scores of a bin's members, as a sorted list."""
    rows = np.asarray(archive.members[b])
    return sorted(map(tuple, np.asarray(archive.scores)[rows[rows < len(archive.fitness)]].tolist()))


def test_every_combination_of_three_tasks_but_the_empty_one_has_a_bin():
    found = every_subset(3).tolist()
    assert found[0] == [True] * 3
    assert len({tuple(row) for row in found}) == 7
    assert all(any(row) for row in found)


def test_sampled_combinations_are_all_tasks_each_task_and_random_ones():
    found = sampled_subsets(10, 200, seed=1)
    assert found.shape == (200, 10)
    assert found[0].all()
    assert np.array_equal(found[1:11], np.eye(10, dtype=bool))
    assert found[11:].mean() == pytest.approx(0.5, abs=0.05)
    assert found.any(axis=1).all()


def test_performance_is_combined_over_the_tasks_of_the_subset_alone():
    scores, subset = jnp.array([0.5, 0.25, 9.0]), jnp.array([True, True, False])
    assert float(combined(scores, subset)) == 0.375
    assert float(combined(scores, subset, "product")) == 0.125


def test_every_bin_keeps_the_best_at_its_own_combination():
    """Bins: both tasks, the second, the first."""
    archive = Subsets.empty(jnp.zeros(1), every_subset(2), 1)
    assert archive.subsets.tolist() == [[True, True], [False, True], [True, False]]
    archive, placed = offer(archive, [[9, 0], [0, 8], [5, 5], [1, 1]])
    assert [inside(archive, b) for b in range(3)] == [[(5, 5)], [(0, 8)], [(9, 0)]]
    assert placed.bins.tolist() == [1, 1, 1, 0]
    assert placed.status.tolist() == [2, 2, 2, 0]
    archive, placed = offer(archive, [[9, 7], [0, 0]])
    assert [inside(archive, b) for b in range(3)] == [[(9, 7)], [(0, 8)], [(9, 7)]], "the younger of equals stays"
    assert placed.bins.tolist() == [2, 0]
    assert placed.status.tolist() == [1, 0]
    assert int(archive.size) == 2


def test_an_individual_is_stored_once_and_rows_are_used_again():
    archive = Subsets.empty(jnp.zeros(1), every_subset(2), 2)
    random = np.random.default_rng(0)
    seen = []
    for _ in range(30):
        scores = random.integers(0, 50, (4, 2))
        seen += scores.tolist()
        archive, _ = offer(archive, scores)
        rows = np.unique(archive.members)
        assert int(archive.size) == len(rows) <= 6
        assert np.array_equal(archive.genomes[rows, 0], archive.scores[rows, 0]), "a genome of another's scores"
        identity = np.asarray(archive.identity)[rows]
        assert len({tuple(row) for row in identity.tolist()}) == len(rows)
        for b, subset in enumerate(np.asarray(archive.subsets)):
            expected = sorted((np.array(seen) * subset).sum(1) / subset.sum())[-2:]
            found = [np.array(one)[subset].mean() for one in inside(archive, b)]
            assert sorted(found) == pytest.approx(expected)


def test_a_candidate_with_a_failed_task_enters_no_bin():
    archive, placed = offer(Subsets.empty(jnp.zeros(1), every_subset(2), 3), [[9, np.nan], [1, 1]])
    assert placed.status.tolist() == [0, 2]
    assert all(inside(archive, b) == [(1, 1)] for b in range(3))


def test_an_infinite_descriptor_enters_no_bin_and_does_the_others_no_harm():
    scores, descriptor = np.array([[1.0], [9.0], [2.0]]), np.array([[0.0], [0.0], [np.inf]])
    archive, placed = offer(Subsets.empty(jnp.zeros(1), every_subset(1), 1, 1, survivors=survivors), scores, descriptor)
    assert placed.status.tolist() == [0, 2, 0]
    assert inside(archive, 0) == [(9,)]


def test_with_diversity_the_best_and_the_strangest_stay():
    """Of 8 candidates 7 are alike, of whom the best stays; the worst behaves otherwise and stays as well."""
    scores, descriptor = np.arange(8)[:, None], np.array([[5.0]] + [[0.0]] * 7)
    plain, _ = offer(Subsets.empty(jnp.zeros(1), every_subset(1), 2, 1), scores, descriptor)
    diverse, _ = offer(Subsets.empty(jnp.zeros(1), every_subset(1), 2, 1, survivors=survivors), scores, descriptor)
    assert inside(plain, 0) == [(6,), (7,)]
    assert inside(diverse, 0) == [(0,), (7,)]


def test_redrawn_bins_have_new_tasks_for_the_old_members_to_compete_in():
    archive, _ = offer(Subsets.empty(jnp.zeros(1), sampled_subsets(8, 40), 2), np.eye(8))
    assert np.array_equal(archive.redrawn(jax.random.key(0), 0.0, 9).subsets, archive.subsets)
    redrawn = archive.redrawn(jax.random.key(0), 1.0, 9)
    assert np.array_equal(redrawn.subsets[:9], archive.subsets[:9])
    assert not np.array_equal(redrawn.subsets[9:], archive.subsets[9:])
    assert redrawn.subsets.any(axis=1).all()
    assert np.array_equal(redrawn.members, archive.members)
    after, _ = offer(redrawn, np.full((1, 8), -1.0))
    best = np.asarray(combined(after.scores[after.members], after.subsets[:, None]))
    assert (best[9:] >= 0).all()


def test_parents_are_drawn_from_all_bins_alike():
    """The first of two bins holds A and B, the second A and C: A has half of the draws."""
    archive = Subsets.empty(jnp.zeros(1), np.array([[True, False], [False, True]]), 2)
    archive, _ = offer(archive, [[9, 9], [8, 0], [0, 8], [1, 1]])
    drawn = np.asarray(archive.genomes[archive.choose(jax.random.key(0), 4000), 0])
    assert [(drawn == value).mean() for value in (9, 8, 0)] == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


def test_what_is_no_archive_is_refused():
    with pytest.raises(UsageError, match="13 tasks"):
        every_subset(13)
    with pytest.raises(UsageError, match="`bins` is 5"):
        sampled_subsets(5, 5)
    with pytest.raises(UsageError, match="no bin without a task"):
        Subsets.empty(jnp.zeros(1), np.zeros((1, 2), bool))
