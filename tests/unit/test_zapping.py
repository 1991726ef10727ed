import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.learners.continual import follow, lesson
from aiga.runs import loop
from aiga.systems.zapping import PAPER, PAPER_DYNAMICS, figures, make, make_dynamics

TRAINING = {"data": "drawn", "channels": 2, "classes": 4, "updates": 2, "fuse": 2}
TINY = TRAINING | {
    "inner_steps": 2, "remember": 3, "length": 2, "ways": 2, "rates": (0.01,), "epochs": 1, "batch": 15,
    "streams": 1,
}  # fmt: skip
DYNAMIC = TRAINING | {"tasks": 2, "ways": 2, "rates": (0.01,), "epochs": 1, "streams": 1}


def begun(**options):
    system = make(**TINY | options)
    return system, system.init(jax.random.key(0))


def rows(before, after):
    """Rows of the head of which a weight differs."""
    return np.flatnonzero((before.head.weight != after.head.weight).any(axis=1)).tolist()


@pytest.mark.parametrize(("zap", "changed"), [("none", []), ("row", [2]), ("all", [0, 1, 2, 3])])
def test_zapping_draws_the_rows_of_the_head_that_it_names(zap, changed):
    system, state = begun(zap=zap)
    after = system.renewed(jax.random.key(1), state, jnp.array(2))
    assert rows(state.network, after) == changed
    np.testing.assert_array_equal(after.head.bias, state.network.head.bias)


def test_all_rows_are_drawn_every_so_many_updates():
    system, state = begun(zap="all", zap_every=3)
    counts = [0, 1, 2, 3, 4]
    drawn = [
        rows(state.network, system.renewed(jax.random.key(1), state._replace(updates=jnp.array(n)), jnp.array(0))) != []
        for n in counts
    ]
    assert drawn == [True, False, False, True, False]


def test_alternating_training_keeps_the_steps_of_the_sequence():
    """With a step of Adam that is next to nothing, what is left is plain descent on the lesson."""
    system, state = begun(zap="none", learning_rate=1e-12)
    after, _ = eqx.filter_jit(system.update)(jax.random.key(1), state)
    draw = jax.random.split(jax.random.key(1), 3)[0]
    data = lesson(draw, system.train, 4, 2, 3)
    learnt = eqx.filter_jit(lambda network: follow(network, data, system.unroll, system.rate)[0])(state.network)
    for kept, expected in zip(jax.tree.leaves(after.network), jax.tree.leaves(learnt.network), strict=True):
        np.testing.assert_allclose(kept, expected, atol=1e-6)


def test_training_on_batches_takes_no_step_but_adams():
    system, state = begun(zap="none", learning_rate=1e-12, pretraining="iid")
    after, _ = eqx.filter_jit(system.update)(jax.random.key(1), state)
    for kept, expected in zip(jax.tree.leaves(after.network), jax.tree.leaves(state.network), strict=True):
        np.testing.assert_allclose(kept, expected, atol=1e-6)


def test_a_run_ends_with_its_tests_and_their_numbers(tmp_path):
    run = loop.run("zapping", seed=0, steps=9, out=tmp_path / "run", **TINY)
    last = run.latest()
    assert last["run/steps"] == 1
    assert last["data/far"] == "drawn"
    assert {"continual/accuracy", "continual/accuracy_adam", "finetune/first", "finetune/halfway"} <= set(last)
    assert last["finetune/first"] == pytest.approx(float(run.state.curves["adam"][1]))
    assert run.state.matrices["adam"].shape == (1, 0)
    assert [figure.title for figure in figures(run)] == ["Recovery"]


def test_dynamics_are_of_every_optimiser_and_those_of_the_first_are_the_runs(tmp_path):
    options = {**DYNAMIC, "optimisers": ("sgd", "adam")}
    run = loop.run("zapping:dynamics", seed=0, steps=9, out=tmp_path / "run", **options)
    last = run.latest()
    assert {name: matrix.shape for name, matrix in run.state.matrices.items()} == {"adam": (3, 2), "sgd": (3, 2)}
    kept = {name: pytest.approx(float(matrix[-1].mean())) for name, matrix in run.state.matrices.items()}
    assert last["dynamics/kept"] == last["dynamics/kept_sgd"] == kept["sgd"]
    assert last["dynamics/kept_adam"] == kept["adam"]
    recovery, *matrices = figures(run)
    assert len(matrices) == 2
    shown = {line.name: line.y[1] for line in recovery.content.data}
    assert shown == {name: pytest.approx(last[f"finetune/first_{name}"]) for name in ("sgd", "adam")}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 1}, "--classes is 1: give 2 to 964"),
        ({"optimisers": ()}, "give an optimiser"),
        ({"rates": ()}, "give numbers above zero"),
        ({"updates": 0}, "numbers above zero for"),
        ({"ways": 1}, "--ways must be 2 or more"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        make(**TINY | options)


def test_the_papers_settings_can_be_built():
    assert make(**PAPER | {"data": "drawn"}).rows == 963
    assert make_dynamics(**PAPER_DYNAMICS | {"data": "drawn"}).rows == 963


def test_a_domain_of_few_classes_has_as_many_tasks_as_fit():
    assert make_dynamics(**DYNAMIC | {"domain": "digits", "ways": 4, "tasks": 9}).transfer.tasks == 2
    wide = make_dynamics(**DYNAMIC | {"domain": "digits", "ways": 40, "tasks": 9}).transfer
    assert (wide.tasks, wide.ways) == (1, 10)
