"""VINE: any individual of a run, run again.

Wang, Clune & Stanley (2018), https://arxiv.org/abs/1805.01141.  Noise, sign and parent say who a pseudo-offspring is;
an elite is in the archive.  How it lives, the module of its system says, in a function

    replay(run, individual) -> Iterable[Figure]
"""

import ast
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aiga.core.errors import UsageError
from aiga.inspect import clouds
from aiga.inspect.clouds import Member
from aiga.runs import catalogue
from aiga.runs.record import Run
from aiga.runs.report import Figure


class Individual(NamedTuple):
    """Who is to be run again."""

    name: str
    identity: tuple[int, int] | None
    """Birth step and index, of who is in the lineage."""
    member: Member | None
    """Of a generation of pseudo-offspring; None: it is in the lineage."""

    def row(self, identities: Any) -> int:
        """Where it is among `identities`, (n, 2), of an archive."""
        rows = np.flatnonzero((np.asarray(identities) == self.identity).all(axis=-1))
        if not rows.size:
            raise UsageError(f"individual {self.name} is no longer in the archive, so it cannot be run again.")
        return int(rows[0])


def replayable(run: Run, name: str) -> bool:
    """Whether an individual can be run again, as far as can be said without jax and without importing the system.

    Of a system that is not of the catalogue nothing can be said: False.
    """
    try:
        individual = find(run, name)
    except UsageError:
        return False
    if not _in_catalogue(run) or "replay" not in _defined(catalogue.SYSTEMS / f"{catalogue.page(run.system)}.py"):
        return False
    return individual.identity is None or _alive(run, individual.identity)


def replay(run: Run, name: str) -> list[Figure]:
    """The individual run again: figures of its life.  Imports the system of the run, whatever that is."""
    individual, module = find(run, name), catalogue.find(run.system)
    if "replay" not in vars(module):
        raise UsageError(f"`{run.system}` cannot run individuals again: its module has no function `replay`.")
    return list(module.replay(run, individual))


def find(run: Run, name: str) -> Individual:
    """The individual of this name: `c12.3` of a cloud, or the number of an identity in the lineage."""
    if name.startswith("c"):
        return Individual(name, None, clouds.member(run, name))
    if not (name.isdecimal() and name.isascii()) or int(name) >= 2**63:
        raise UsageError(f"`{name}` is nobody's name: give the number of an identity, or one like c12.3.")
    return Individual(name, divmod(int(name), 2**32), None)


def compared(recorded: Any, found: Any) -> str:
    """How well numbers agree with those that the run recorded."""
    recorded, found = (np.atleast_1d(np.asarray(x, np.float32)) for x in (recorded, found))
    if np.array_equal(recorded, found, equal_nan=True):
        return "the same to the last bit"
    return f"different by {np.nanmax(np.abs(recorded - found)):.2g}"


def words(values: Any) -> str:
    """Numbers as a caption has them."""
    numbers = np.atleast_1d(np.asarray(values, float))
    return f"{numbers[0]:.4g}" if numbers.size == 1 else f"({', '.join(f'{x:.4g}' for x in numbers)})"


def _in_catalogue(run: Run) -> bool:
    base = run.system.partition(":")[0]
    return base == catalogue.page(run.system) and (catalogue.SYSTEMS / f"{base}.py").is_file()


def _defined(path: Path) -> set[str]:
    """The functions of a file."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def _alive(run: Run, identity: tuple[int, int]) -> bool:
    """Whether an array of identities in the newest checkpoint has this one."""
    try:
        with np.load(run.directory / "checkpoint.npz", allow_pickle=False) as file:
            names = [name for name in file.files if name.endswith((".identity", ".id"))]
            return any((file[name].reshape(-1, 2) == identity).all(axis=1).any() for name in names)
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
