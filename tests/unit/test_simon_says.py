import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.runs import loop, report
from aiga.systems.simon_says import figures, grouped, make


def first_step(**options):
    system = make(**options)
    return system, *system.step(jax.random.key(1), system.init(jax.random.key(0)))


def test_a_metric_stands_for_all_tasks_of_a_kind():
    assert grouped("success", ("a", "b", "a"), jnp.array([1.0, 2.0, 3.0]), jnp.mean) == {"success/a": 2, "success/b": 2}


def test_the_commands_are_the_curriculums():
    _, _, info = first_step()
    probabilities = [float(value) for name, value in info.items() if name.startswith("probability/")]
    assert len(probabilities) == 11
    assert sum(probabilities) == pytest.approx(1)
    assert float(info["probability/impossible"]) == pytest.approx(600 / 660)  # nothing is known yet


def test_a_dynamic_bonus_is_paid_for_what_does_not_succeed_reliably():
    system, state, info = first_step(bonus="dynamic", worth=0.25, impossible=0)
    assert int(info["simon_says/paid"]) == 60
    fast = jnp.zeros(60).at[:2].set(jnp.array([0.05, 0.15]))
    _, bonus = system.orders(state.progress._replace(fast=fast))
    assert bonus[:3].tolist() == [0.25, 0.0, 0.25]


@pytest.mark.parametrize(("bonus", "paid"), [("none", 0), ("fixed", 61)])
def test_a_fixed_bonus_is_paid_always_and_none_never(bonus, paid):
    _, _, info = first_step(bonus=bonus, impossible=1)
    assert int(info["simon_says/paid"]) == paid


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"theta": 0.5}, "between 0 and"),
        ({"theta": 0.0}, "between 0 and"),
        ({"world": "craftax", "tries": 0}, "above zero"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make(**options)


@pytest.mark.parametrize("options", [{}, {"memory": 4, "minibatches": 1, "impossible": 3, "bonus": "dynamic"}])
def test_craftax_has_a_task_for_each_achievement(options):
    """Traced, not compiled."""
    system = make(world="craftax", worlds=2, length=4, hidden=4, **options)
    state = eqx.filter_eval_shape(system.init, jax.random.key(0))
    after, info = eqx.filter_eval_shape(system.step, jax.random.key(1), state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert after.progress.fast.shape == (22 + options.get("impossible", 0),)
    assert {"success/collect_diamond", "probability/make_iron_sword", "learner/steps", "episode/length"} <= info.keys()


def test_the_report_shows_what_was_learned_and_what_was_practised(tmp_path):
    run = loop.run("simon_says", steps=3, out=tmp_path / "run", impossible=1)
    learned, stream, success = figures(run)
    assert learned.content.data[0].y.tolist() == run.metric("simon_says/learned").values.tolist()
    assert np.sum([trace.y for trace in stream.content.data], axis=0) == pytest.approx([1, 1, 1])
    assert np.shape(success.content.data[0].z) == (11, 3)
    assert stream.content.data[-1].name == "impossible"
    assert "What was practised" in report.write(run.directory).read_text()
