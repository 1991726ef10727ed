"""What every system of the catalogue promises, whatever its paper says."""

import asyncio
import inspect
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import pytest

from aiga.core import trees
from aiga.core.lifts import maybe
from aiga.core.protocols import System
from aiga.runs import catalogue, events, loop
from aiga.runs.claims import stated

ROOT = Path(__file__).parents[2]
NAMES = [entry.name for entry in catalogue.entries()]
TIME_LIMIT = 120.0
"""Seconds for two steps with the laptop's options, compilation included."""
COMPILED = "/jax/core/compile/backend_compile_duration"
LEARNERS = ("anml", "deep_curiosity", "omni", "plastic_networks", "simon_says", "synaptic_bursting", "zapping")
"""One network that learns: nobody is born."""


class Taken(NamedTuple):
    """Two steps of a system with its defaults, compiled afresh, and what was seen of them."""

    system: System
    checkpoint: Path
    """The state between them."""
    state: Any
    """The state after them."""
    infos: list[dict[str, Any]]
    compiled: list[Any]
    """What the second step compiled."""
    seconds: float


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def taken(name, tmp_path_factory):
    eqx.clear_caches()  # else another test of this process may have compiled what the second step needs
    jax.clear_caches()
    checkpoint = tmp_path_factory.mktemp(catalogue.page(name)) / "checkpoint.npz"
    started = time.monotonic()
    system, state = begin(name)

    async def steps() -> tuple[Any, list[Any], list[Any]]:
        halfway, first = await step(system, 1, state)
        trees.save(checkpoint, halfway)
        with compilations() as compiled:
            after, second = await step(system, 2, halfway)
        return after, [first, second], compiled

    state, infos, compiled = asyncio.run(steps())
    return Taken(system, checkpoint, state, infos, compiled, time.monotonic() - started)


def begin(name: str) -> tuple[System, Any]:
    system = catalogue.find(name).make()
    return system, system.init(jax.random.fold_in(jax.random.key(0), 0))


async def step(system: System, count: int, state: Any) -> tuple[Any, dict[str, Any]]:
    """The step `count`, from 1, as the loop takes it."""
    state, info = await maybe(system.step(jax.random.fold_in(jax.random.key(0), count), state))
    return state, dict(info)


@contextmanager
def compilations() -> Iterator[list[Any]]:
    """The programs that are compiled in a block."""
    compiled = []

    def listen(event: str, seconds: float, **about: Any) -> None:
        if event == COMPILED:
            compiled.append(about)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def arrays(tree: Any) -> dict[str, np.ndarray]:
    """Every leaf as a host array, random keys as their data."""
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    return {path: np.asarray(jax.random.key_data(x) if _is_key(x) else x) for path, x in leaves.items()}


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def test_two_steps_of_the_defaults_end_in_time_with_arrays_for_leaves(taken):
    assert isinstance(taken.system, System)
    assert taken.seconds < TIME_LIMIT
    leaves = jax.tree_util.tree_leaves_with_path(taken.state)
    others = [jax.tree_util.keystr(path) for path, leaf in leaves if not eqx.is_array(leaf)]
    assert others == [], "a checkpoint would lose them"
    assert leaves
    assert all(taken.infos)


def test_the_second_step_does_not_recompile(name, taken):
    assert taken.compiled == []
    with compilations() as compiled:
        jax.jit(lambda x: x + len(name))(1.0)
    assert len(compiled) == 1, "the count of compilations has stopped working"


def test_a_resumed_run_equals_an_uninterrupted_one(name, taken):
    system, fresh = begin(name)
    restored, _ = trees.load(taken.checkpoint, fresh)
    resumed, _ = asyncio.run(step(system, 2, restored))
    expected, found = arrays(taken.state), arrays(resumed)
    assert expected.keys() == found.keys()
    for path, values in expected.items():
        assert values.dtype == found[path].dtype, path
        assert np.array_equal(values, found[path], equal_nan=values.dtype.kind in "fc"), path


def test_births_are_reported_and_metrics_are_scalars_that_its_page_explains(name, taken):
    assert jax.config.jax_debug_key_reuse  # the steps would have failed on a key used twice
    page = (ROOT / "docs" / "systems" / f"{catalogue.page(name)}.md").read_text()
    values = {key: value for info in taken.infos for key, value in info.items()}
    if catalogue.page(name) not in LEARNERS:
        assert any(isinstance(value, events.Born) for value in values.values()), "lineage needs births"
    for key, value in values.items():
        if not isinstance(value, tuple(events.KINDS.values())):
            assert re.fullmatch(r"[a-z_0-9]+(/[a-z_0-9]+)+", key), f"{key} is not namespace/name"
            assert isinstance(value, str) or np.ndim(value) == 0, f"{key} is no scalar"
            assert f"`{key}`" in page, f"docs/systems/{catalogue.page(name)}.md does not explain `{key}`"


def test_options_have_types_defaults_and_descriptions(name):
    module = catalogue.find(name)
    options = catalogue.options(module.make)
    documented = inspect.getdoc(module.make) or ""
    for option, parameter in options.items():
        assert parameter.annotation is not inspect.Parameter.empty
        assert parameter.default is not inspect.Parameter.empty, f"a laptop run needs a default for {option}"
        assert re.search(rf"^ *{option}: ", documented, re.MULTILINE), f"the docstring of make lacks {option}"
    assert not options.keys() & inspect.signature(loop.run).parameters.keys(), "these are the run's own"


def test_the_papers_settings_and_the_claims_fit_make(name):
    module = catalogue.find(name)
    options = catalogue.options(module.make).keys()
    assert set(module.PAPER) <= options
    for claim in stated(name):
        for arm, given in claim.arms().items():
            assert set(given) <= options, arm


def test_its_page_and_its_claim_test_exist_and_about_is_well_formed(name):
    entry = next(entry for entry in catalogue.entries() if entry.name == name)
    assert entry.title
    assert entry.pillar
    assert all(isinstance(paper, int) and 1 <= paper <= 50 for paper in entry.papers)
    assert all(isinstance(extra, str) for extra in entry.needs)
    assert (ROOT / "docs" / "systems" / f"{catalogue.page(name)}.md").exists()
    claim = (ROOT / "tests" / "claims" / f"test_{catalogue.page(name)}.py").read_text()
    assert "pytest.mark.claims" in claim
