import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.selection.learning_progress import Curriculum, Progress

ALL, NONE = jnp.array([20]), jnp.array([0])


def known(fast: list[float], slow: list[float]) -> Progress:
    return Progress(jnp.zeros(len(fast)), jnp.array(fast), jnp.array(slow))


def test_success_is_counted_from_that_of_a_random_policy():
    progress = Curriculum().start(jnp.array([4, 4, 0, 20]), jnp.full(4, 20))
    above = progress.above_random(jnp.array([0.6, 0.1, 0.3, 1.0]))
    assert above.tolist() == pytest.approx([0.5, 0.0, 0.3, 0.0])


def test_the_slow_average_is_an_average_of_the_fast_one():
    curriculum = Curriculum(rate=0.1, tries=20)
    first = curriculum.update(curriculum.start(NONE, ALL), ALL, ALL)
    second = curriculum.update(first, ALL, ALL)
    assert (float(first.fast[0]), float(first.slow[0])) == pytest.approx((0.1, 0.01))
    assert (float(second.fast[0]), float(second.slow[0])) == pytest.approx((0.19, 0.028))


def test_half_an_evaluation_twice_moves_the_fast_average_as_far_as_a_whole_one():
    curriculum = Curriculum(rate=0.19, tries=20)
    start, half = curriculum.start(NONE, ALL), jnp.array([10])
    once = curriculum.update(start, half, half)
    assert float(once.fast[0]) == pytest.approx(0.1)
    assert float(curriculum.update(once, half, half).fast[0]) == pytest.approx(0.19)


def test_a_task_that_was_not_tried_keeps_its_averages():
    curriculum, before = Curriculum(), known([0.4], [0.3])
    after = curriculum.update(before, NONE, NONE)
    assert (after.fast.tolist(), after.slow.tolist()) == (before.fast.tolist(), before.slow.tolist())


def test_small_probabilities_are_magnified():
    magnified = Curriculum(theta=0.1).magnified(jnp.array([0.0, 0.1, 0.5, 1.0]))
    assert magnified.tolist() == pytest.approx([0.0, 0.5, 0.9, 1.0])


def test_forgetting_is_progress_too():
    curriculum = Curriculum()
    learned, forgot = curriculum.change(known([0.1], [0.0])), curriculum.change(known([0.0], [0.1]))
    assert float(learned[0]) == pytest.approx(0.5) == float(forgot[0])


@pytest.mark.parametrize(
    ("sigmoid", "expected"),
    [("plain", [0.731059, 0.268941]), ("quantile", [0.300550, 0.001064])],
)
def test_weights_are_sigmoids_of_progress_among_tasks_that_ever_succeeded(sigmoid, expected):
    """Two changes, 0.5 and 0: z-scores 1 and -1; sigmoid(z), or sigmoid(3 (z - 1.28155)); the third never succeeded."""
    probabilities = Curriculum(sigmoid=sigmoid).probabilities(known([0.1, 0.1, 0.0], [0.0, 0.1, 0.0]))
    wanted = np.array([*expected, 0.0])
    np.testing.assert_allclose(probabilities, wanted / wanted.sum(), atol=2e-6)


@pytest.mark.parametrize("by", ["progress", "variance", "uniform"])
def test_before_the_first_success_all_tasks_are_as_probable(by):
    curriculum = Curriculum(by=by)
    assert curriculum.probabilities(curriculum.start(jnp.zeros(4, int), jnp.full(4, 20))).tolist() == [0.25] * 4


def test_tasks_that_all_progress_alike_are_as_probable_and_those_without_hope_are_not_chosen():
    assert Curriculum().probabilities(known([0.3, 0.3, 0.0], [0.2, 0.2, 0.0])).tolist() == [0.5, 0.5, 0.0]


def test_variance_prefers_what_succeeds_half_the_time():
    probabilities = Curriculum(by="variance").probabilities(known([0.5, 0.1, 0.0, 1.0], [0.0] * 4))
    assert probabilities.tolist() == pytest.approx([0.25 / 0.34, 0.09 / 0.34, 0, 0])


def test_interest_multiplies_the_weights():
    probabilities = Curriculum().probabilities(known([0.3, 0.3], [0.2, 0.2]), jnp.array([1.0, 0.001]))
    assert probabilities.tolist() == pytest.approx([1 / 1.001, 0.001 / 1.001])


def test_a_share_is_spread_over_all_tasks():
    probabilities = Curriculum(share=0.4).probabilities(known([0.3, 0.0], [0.2, 0.0]))
    assert probabilities.tolist() == pytest.approx([0.8, 0.2])


def test_probabilities_follow_what_is_being_learned_inside_a_compiled_loop():
    """The first task is learned, then the second, while the third never succeeds."""
    curriculum = Curriculum()
    successes = jnp.zeros((40, 3), int).at[:, 0].set(20).at[20:, 1].set(20)

    def step(state: Progress, successes):
        state = curriculum.update(state, successes, jnp.full(3, 20))
        return state, curriculum.probabilities(state)

    _, probabilities = jax.lax.scan(step, curriculum.start(jnp.zeros(3, int), jnp.full(3, 20)), successes)
    assert probabilities[10].tolist() == [1, 0, 0]
    assert float(probabilities[30, 1]) > 0.7
    assert (np.asarray(probabilities[:, 2]) == 0).all()
