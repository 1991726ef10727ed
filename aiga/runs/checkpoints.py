"""Where a run continues: the newest checkpoint that can be used, and why a newer one cannot.

A checkpoint is a zip file, whose checksums tell a damaged one: it is never used.  Its rows were on disk before it was.
"""

from typing import Any, NamedTuple

import jax

from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.core.lifts import maybe
from aiga.core.protocols import System
from aiga.runs.record import Run


class Checkpoint(NamedTuple):
    """Where a run continues."""

    state: Any
    step: int
    seconds: float
    problems: tuple[str, ...] = ()
    """Why newer checkpoints could not be read."""


async def restore(record: Run, system: System) -> Checkpoint:
    """The newest checkpoint that can be read and whose rows are there; the beginning, if none was written yet.

    Raises:
        UsageError: checkpoints were written and none can be used.
    """
    key = jax.random.key(record.manifest["seed"])
    initial = await maybe(system.init(jax.random.fold_in(key, 0)))
    problems = []
    for name in ("checkpoint.npz", "checkpoint.previous.npz"):
        if (record.directory / name).exists():
            try:
                state, note = trees.load(record.directory / name, initial)
            except ValueError as error:
                problems.append(str(error))
                continue
            if note["step"] <= record.saved:
                return Checkpoint(state, note["step"], note["seconds"], tuple(problems))
            problems.append(
                f"checkpoint {record.directory / name} is of step {note['step']}, and run.sqlite has lost rows before "
                "it (was it copied without its run.sqlite-wal?)."
            )
    if problems:
        raise UsageError(
            f"{record.directory} cannot be continued: {' '.join(problems)} Restore a copy of a checkpoint, or delete "
            "the checkpoints: the run is then computed again from its start."
        )
    return Checkpoint(initial, 0, 0.0)
