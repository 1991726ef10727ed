"""Clouds of pseudo-offspring: where the offspring of each generation ended up in the space of behaviours.

Wang, Clune & Stanley (2018), "VINE", https://arxiv.org/abs/1805.01141.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aiga.core.errors import UsageError
from aiga.runs.clouds import Recorded
from aiga.runs.record import Run
from aiga.runs.report import Figure


class Member(NamedTuple):
    """A pseudo-offspring: one individual of a generation."""

    name: str
    cloud: Recorded
    row: int

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of it, by name."""
        cloud, about = self.cloud, self.cloud.about
        parent = about.parent if cloud.parents is None else int(cloud.parents[self.row])
        return {
            "name": self.name,
            "parent": None if parent < 0 else str(parent),
            "series": about.series,
            "step": about.step,
            "generation": about.generation,
            "fitness": float(cloud.fitness[self.row]),
            "behaviour": tuple(cloud.behaviour[self.row].tolist()),
            "noise": int(cloud.noise[self.row]),
            "sign": int(cloud.sign[self.row]),
        }


def present(run: Run) -> bool:
    """Whether a run has recorded any."""
    return bool(run.clouds())


def figures(run: Run, choices: Mapping[str, str] = {}) -> list[Figure]:
    """The clouds of a run."""
    del run, choices
    return []


def member(run: Run, name: str) -> Member:
    """The pseudo-offspring of this name, `c<number of the cloud>.<row>`."""
    number, _, row = name.removeprefix("c").partition(".")
    if not (name.startswith("c") and number.isdecimal() and row.isdecimal()):
        raise UsageError(f"`{name}` is no pseudo-offspring: names are like c12.3, the cloud's number and the row.")
    cloud = run.cloud(int(number))
    if int(row) >= cloud.about.size:
        raise UsageError(f"`{name}` does not exist: the cloud has {cloud.about.size} individuals, from 0 on.")
    return Member(name, cloud, int(row))
