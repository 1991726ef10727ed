"""Run folders without a run: what a run would have written, and what it never would.  Needs no jax.

from tests.recorded import recorded

directory = recorded(tmp_path / "run", metrics={"a/x": [1.0, 2.0]}, calls=[("ok", "What?", "That.")])
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aiga.runs.events import Born
from aiga.runs.store import Store

MANIFEST = {
    "system": "map_elites",
    "options": {"batch": 4},
    "seed": 0,
    "limits": {"steps": 10, "minutes": None},
    "created": "2026-01-02T03:04:05+0000",
    "sandbox": None,
    "model": None,
}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)


def recorded(
    directory: Path,
    *,
    metrics: Mapping[str, Sequence[Any]] | None = None,
    births: int = 3,
    texts: Sequence[str] = (),
    calls: Iterable[tuple[str, str, str]] = (),
    status: str = "finished",
    **manifest: Any,
) -> Path:
    """A run of `births` steps, each with one birth, whose parent is the birth before.

    Args:
        directory: Where it is written.
        metrics: Values of each metric, a value a step.
        births: Steps, and births.
        texts: The genomes of the first births.
        calls: Outcome, prompt and reply of calls of a model.
        status: How it ended; `running`: it did not.
        manifest: In the place of the usual entries of run.json.
    """
    store = Store.create(directory, MANIFEST | manifest)
    for step in range(births):
        blob = [store.put(texts[step].encode())] if step < len(texts) else None
        parent = [step - 1, 0] if step else [-1, -1]
        born = Born(np.array([[step, 0]]), np.array([[parent]]), "mutation", np.array([2]), np.array([1.0 * step]))
        values = {name: series[step] for name, series in (metrics or {}).items() if step < len(series)}
        store.record(
            step, {"run/steps": step + 1, "run/seconds": 0.5 * step, "born": born._replace(blob=blob), **values}
        )
    for i, (outcome, prompt, reply) in enumerate(calls):
        asked = json.dumps({"messages": [{"role": "user", "text": prompt}], "temperature": 1.0})
        said = json.dumps({"text": reply, "finish": "stop", "logprobs": None})
        store.append("calls", (f"key{i}", 1, "task", "test:model", asked, outcome, said, 10, 5, 0.001, 0.2, 1))
    store.note(status=status)
    store.close()
    (directory / "media" / "last.png").write_bytes(PNG)
    return directory
