"""Parents that a program of the archive chooses itself, in the sandbox."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiga.agents.attempt import work
from aiga.agents.domain import Files
from aiga.agents.exchange import Allowance
from aiga.core.texts import Finished
from aiga.fm.messages import FM
from aiga.sandbox.protocol import Limits, Sandbox

ENTRY, LABEL = "parents:choose", "hyperagents/choose"
ALLOWED = Allowance(calls=1, seconds=20.0, limits=Limits(processes=16))
INSTRUCTION = "Choose which program of the archive is changed next."
LONGEST = 600


class Means(NamedTuple):
    """What programs need to run."""

    fm: FM
    """Whom they ask."""
    sandbox: Sandbox
    finished: Finished
    """Where attempts are kept."""


class Choice(NamedTuple):
    """What came of it."""

    place: int = 0
    """In the archive that was shown."""
    fault: str = ""
    """Why there is none; empty: there is one."""


async def choose(files: Files, archive: Sequence[Mapping[str, float]], means: Means, *, seed: int) -> Choice:
    """Which entry of `archive` the program of `files` chooses."""
    attempt = await work(
        files,
        ENTRY,
        {"instruction": INSTRUCTION, "archive": [dict(entry) for entry in archive], "seed": seed},
        {},
        fm=means.fm,
        sandbox=means.sandbox,
        allowance=ALLOWED,
        seed=seed,
        label=LABEL,
        wanted="answer",
        finished=means.finished,
    )
    if attempt.failure:
        return Choice(fault=f"{attempt.failure}: {attempt.why}"[:LONGEST])
    place = attempt.answer
    if type(place) is not int or not 0 <= place < len(archive):
        return Choice(fault=f"{place!r:.100} is no place in an archive of {len(archive)}")
    return Choice(place)
