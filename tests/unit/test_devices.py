"""A population on several devices gives what it gives on one."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from aiga.runs import catalogue

OPTIONS = {"cells": 25, "batch": 12, "fuse": 2}
COMPILED = "/jax/core/compile/backend_compile_duration"


def steps(count: int) -> dict[str, object]:
    """What some steps of a small map lead to, and how they were compiled."""
    system, key, compiled = catalogue.find("map_elites").make(**OPTIONS), jax.random.key(0), []
    state = system.init(jax.random.fold_in(key, 0))
    for i in range(count):
        state, _ = system.step(jax.random.fold_in(key, i + 1), state)
        if i == 0:
            jax.monitoring.register_event_duration_secs_listener(
                lambda event, seconds, **about: compiled.append(event) if event == COMPILED else None
            )
    content = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state))
    devices = {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state)}
    program = type(system).step.lower(system, key, state).compile().compiled.as_text()
    return {
        "devices": sorted(devices),
        "content": hashlib.sha256(content).hexdigest(),
        "recompiled": len(compiled),
        "parts": program.count("num_partitions=4"),
        "divided": "f32[3," in program,
    }


def test_a_map_is_the_same_on_one_device_and_on_four_which_share_the_evaluations():
    command = [sys.executable, "-c", f"from tests.unit.{Path(__file__).stem} import *; print(json.dumps(steps(2)))"]
    four = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run(command, env=four, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    there, here = json.loads(done.stdout), steps(2)
    assert (there["devices"], here["devices"]) == ([4], [1])
    assert there["content"] == here["content"]
    assert there["recompiled"] == 0
    assert there["parts"]
    assert (there["divided"], here["divided"]) == (True, False)
