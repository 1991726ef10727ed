"""Parents that a program of the archive chooses itself, in the sandbox."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiga.agents.attempt import work
from aiga.agents.coders import Means
from aiga.agents.domain import Files
from aiga.agents.exchange import Allowance
from aiga.fm.offline import Offline
from aiga.sandbox import ladder
from aiga.sandbox.protocol import Limits

ENTRY, LABEL = "parents:choose", "hyperagents/choose"
ALLOWED = Allowance(calls=1, seconds=20.0, limits=Limits(processes=16))
INSTRUCTION = "Choose which program of the archive is changed next."
LONGEST = 600


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
        fm=means.fm or Offline({}),
        sandbox=means.sandbox or ladder.best(),
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
