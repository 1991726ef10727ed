import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.data.text import windows
from aiga.learners.reading import Reading

TEXT = np.tile(np.arange(4, dtype=np.int32), 13)
PARTS = [jnp.asarray(part) for part in (*windows(TEXT, 2, 5), *windows(TEXT, 2, 5))]
TASK = Reading(*PARTS, symbols=4, source="generated")


@pytest.mark.parametrize("rule", ["simple", "none"])
def test_the_next_window_goes_on_where_the_last_one_ended_and_the_text_begins_anew(rule):
    network = TASK.build(jax.random.key(0), 3, rule, "connection")
    memory = TASK.begin(network)
    assert len(TASK.inputs) == 5
    for window in range(5):
        assert memory.window == window
        before = memory
        loss, (memory, info) = TASK.loss(jax.random.key(0), network, memory)
        assert info["text/train_bits"] == pytest.approx(float(loss) / np.log(2), rel=1e-5)
    assert memory.window == 0
    assert jnp.abs(memory.carry.hidden - before.carry.hidden).max() > 0
    again = TASK.loss(jax.random.key(0), network, memory)[0]
    first = TASK.loss(jax.random.key(0), network, TASK.begin(network))[0]
    assert again == first, "what was read is forgotten where the text begins"


def test_validation_costs_as_much_as_reading_all_windows_in_order():
    network = TASK.build(jax.random.key(0), 3, "clip", "connection")
    carry, values = TASK.begin(network).carry, []
    for x, y in zip(TASK.test_inputs, TASK.test_targets, strict=True):
        value, carry = TASK.read(network, carry, x, y)
        values.append(float(value))
    bits = TASK.examine(jax.random.key(0), network)["text/bits"]
    assert bits == pytest.approx(np.mean(values) / np.log(2), rel=1e-5)
    assert bits == pytest.approx(2, abs=0.5), "four symbols that it knows nothing of"
