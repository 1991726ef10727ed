"""An agent at work: its program in the sandbox, in a folder of its own, with the model at the end of a pipe.

    agent/     the agent's files, on the path of its imports
    work/      the folder that it works in; what is different there at the end is what it hands in
    material/  what it may read besides

Nothing that it writes elsewhere comes back.  What it returns is its own word, and so is the folder: whoever scores it
does so outside, and believes neither.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

from aiga.agents.descent import fingerprint
from aiga.agents.domain import Attempt, Failure, Files
from aiga.agents.exchange import USUAL, Allowance, Exchange, Pestered
from aiga.agents.turns import unclean
from aiga.core.texts import Finished, Recent, hexadecimal
from aiga.fm.messages import FM
from aiga.sandbox import diffs
from aiga.sandbox.protocol import Limits, Result, Sandbox

AGENT, WORK, MATERIAL, TASK, ANSWER = "agent", "work", "material", "task.json", "answer.json"
LEFT_BEHIND = ("__pycache__", ".pytest_cache", ".git")
"""Folders that tools leave in the one they work in: no part of what is handed in."""
LONGEST_ANSWER = 1 << 18
"""Bytes of JSON."""
MOST_CHANGED = 4 << 20
"""Bytes of all files that are different, before and after: what is compared within a second."""
LONGEST_CHANGES = 1 << 20
"""Characters of a diff."""
LONGEST_WHY = 600
BLOCK = 4096
"""Bytes of the disk that a file takes beyond its own, at most."""


async def work(
    agent: Files,
    entry: str,
    task: Mapping[str, Any],
    folder: Files,
    *,
    material: Files | None = None,
    fm: FM,
    sandbox: Sandbox,
    allowance: Allowance = USUAL,
    seed: int,
    label: str,
    facts: Any = None,
    wanted: Literal["changes", "answer"] = "changes",
    finished: Finished | None = None,
) -> Attempt:
    """What an agent makes of a task.

    Args:
        agent: Its files.
        entry: `MODULE:FUNCTION`, which is called with the task.
        task: JSON; by custom, `instruction` says what is to be done.
        folder: The files that it works on.
        material: Files that it may read besides, in `../material`.
        fm: Whom it asks.
        sandbox: Where it runs.
        allowance: What it may use.
        seed: What the seeds of its calls are made of.
        label: The `task` of its calls.
        facts: What an offline proposer may know and the agent does not: `about` of its `Asked`.
        wanted: What is to be handed in; who gives up without it is told apart by why.
        finished: Where attempts are kept, and found again: the same attempt is made once.

    Raises:
        BudgetExceeded: The run's budget is used up; that of an attempt is a failure.
    """
    finished = finished or Recent()
    asked = [fm.name, label, seed, entry, dict(task), wanted, allowance]
    key = _key([*asked, *(hexadecimal(fingerprint(files)) for files in (agent, folder, material or {}))])
    if (text := finished.get(key)) is not None:
        return Attempt(**json.loads(text))
    exchange = Exchange(fm, allowance, seed, label=label, about=facts)
    files = {TASK: json.dumps(task).encode(), **_placed(AGENT, agent), **_placed(MATERIAL, material or {})}
    try:
        result = await sandbox.run(
            ["python", "-P", "-c", RUNNER, entry],
            files={**files, **_placed(WORK, folder)},
            limits=_limits(allowance, (agent, folder, material or {})),
            collect=[ANSWER, f"{WORK}/*"],
            serve=exchange,
        )
    except Pestered as error:
        result = Result("killed", stderr=str(error))
    attempt = left(result, folder, exchange, wanted)
    finished.put(key, json.dumps(attempt._asdict()))
    return attempt


def _key(parts: list[Any]) -> str:
    return f"attempt {hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"


def _placed(place: str, files: Files) -> dict[str, bytes]:
    return {f"{place}/{name}": content for name, content in files.items()}


def _limits(allowance: Allowance, given: Iterable[Files]) -> Limits:
    """Those of the sandbox: what an agent is given takes no room from what it may write."""
    size = sum(len(content) + BLOCK for files in given for content in files.values())
    return allowance.limits._replace(
        seconds=allowance.seconds, files_mb=allowance.limits.files_mb + math.ceil(size / 2**20)
    )


def left(result: Result, folder: Files, exchange: Exchange, wanted: str) -> Attempt:
    """What a command left, as an attempt."""
    after = {name.removeprefix(f"{WORK}/"): data for name, data in result.files.items() if name != ANSWER}
    whole = result.outcome not in ("killed", "forged")  # a folder that is too full does not come back whole
    changes, fault = _changes(folder, after) if whole else ("", "")
    said = _said(result)
    attempt = Attempt(
        changes,
        said.answer,
        exchange.transcript,
        calls=exchange.calls,
        tokens=exchange.tokens,
        usd=exchange.usd,
        seconds=result.seconds,
    )
    failure, why = _failure(result, said, exchange)
    if not failure and fault:
        failure, why = "format", fault
    if not failure and not (attempt.changes if wanted == "changes" else attempt.answer is not None):
        failure, why = exchange.cause or "empty", exchange.why or "nothing was handed in"
    return attempt._replace(failure=failure, why=why[:LONGEST_WHY])


def _changes(before: Files, after: Files) -> tuple[str, str]:
    """The diff; or none, and why."""
    before, after = _own(before), _own(after)
    names = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    size = sum(len(files.get(name, b"")) for name in names for files in (before, after))
    if size > MOST_CHANGED:
        return "", f"the files that are different have {size} bytes; {MOST_CHANGED} are allowed"
    changes = diffs.diff(before, after)
    if len(changes) > LONGEST_CHANGES:
        return "", f"the changes have {len(changes)} characters; {LONGEST_CHANGES} are allowed"
    return changes, ""


def _own(files: Files) -> Files:
    return {name: data for name, data in files.items() if not {*PurePosixPath(name).parts} & {*LEFT_BEHIND}}


class Said(NamedTuple):
    """What a program said of itself at its end."""

    answer: Any = None
    failure: Literal["", "crash", "format"] = ""
    why: str = ""


def _said(result: Result) -> Said:
    """The agent's last word, which may be anything."""
    content = result.files.get(ANSWER)
    if content is None:
        return Said(failure="crash", why="it ended without an answer")
    if len(content) > LONGEST_ANSWER:
        return Said(failure="format", why=f"the answer has {len(content)} bytes; {LONGEST_ANSWER} are allowed")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return Said(failure="format", why="the answer is no JSON")
    if unclean(value) or not isinstance(value, dict):
        return Said(failure="format", why=f"the answer {unclean(value) or 'is forged'}")
    for failure in ("crash", "format"):
        if failure in value:
            return Said(failure=failure, why=str(value[failure]))
    return Said(value.get("answer"))


def _failure(result: Result, said: Said, exchange: Exchange) -> tuple[Failure, str]:
    """How a program ended, if not well."""
    if result.outcome == "timeout":
        return "time", f"the {exchange.allowance.seconds:g} seconds of this attempt are used"
    if result.outcome != "ok":
        lines = result.stderr.strip().splitlines()
        return exchange.cause or "crash", " ".join([f"the agent ended with {result.outcome!r}", *lines[-1:]])
    if said.failure == "crash" and exchange.cause:
        return exchange.cause, f"{exchange.why}; then {said.why}"
    return said.failure, said.why


RUNNER = """
import importlib
import json
import os
import sys
import traceback


def said(error):
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(place + "/")]
    where = f" ({os.path.relpath(frames[-1].filename, place)}, line {frames[-1].lineno})" if frames else ""
    return traceback.format_exception_only(type(error), error)[-1].strip()[:500] + where


def run(entry):
    module, _, function = entry.partition(":")
    try:
        answer = getattr(importlib.import_module(module), function)(task)
    except BaseException as error:
        return {"crash": said(error)}
    try:
        json.dumps(answer, allow_nan=False)
    except Exception as error:
        return {"format": f"the answer is no JSON: {error}"[:500]}
    return {"answer": answer}


with open("task.json", "rb") as file:
    task = json.load(file)
place, last = os.path.abspath("agent"), os.path.abspath("answer.json")
for folder in ("agent", "work", "material"):
    os.makedirs(folder, exist_ok=True)
os.chdir("work")
sys.path.insert(0, place)
sys.stdout.flush()
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
word = run(sys.argv[1])
with open(last, "w") as file:
    json.dump(word, file)
os._exit(0)
"""
"""What runs inside; what an agent prints is dropped, and threads that it leaves behind are not waited for."""
