"""The inside of an actor of `RayPool`: it does calls as a local worker does, and lives until it is killed."""

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiga.runs.worker import answer, share_key


class Setup(NamedTuple):
    """What an actor takes over from the process of the pool."""

    path: tuple[str, ...]
    """Where modules are looked for, after the actor's own places."""
    variables: Mapping[str, str]
    key: bytes
    """Of the pool's managers."""


class Actor:
    """Does calls one after the other."""

    def __init__(self, setup: Setup) -> None:
        os.environ.update(setup.variables)
        sys.path.extend(place for place in setup.path if place not in sys.path)
        share_key(setup.key)

    def ready(self) -> None:
        """Answer: here I am."""

    def live(self) -> None:
        """Never answer: the pool learns of the actor's end by the failure of this call."""
        threading.Event().wait()

    def run(self, calls: Sequence[tuple[bytes, int]], *buffers: Any) -> list[tuple[float, bytes]]:
        """Seconds and outcome of each call; the buffers are those of the first call, then of the second, and so on."""
        done, used = [], 0
        for call, count in calls:
            began = time.perf_counter()
            outcome = answer(call, buffers[used : used + count])
            done.append((time.perf_counter() - began, outcome))
            used += count
        return done
