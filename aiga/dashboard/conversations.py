"""What foundation models were asked and said, a page at a time: a run may hold more than fits into memory."""

import json
from typing import Any, NamedTuple

from aiga.runs.record import Run

FIELDS = ("task", "model", "attempt", "outcome", "tokens_in", "tokens_out", "usd", "seconds", "time")


class Wanted(NamedTuple):
    """Which calls are looked for."""

    text: str = ""
    """Letters that the prompt or the reply holds."""
    outcome: str = ""
    """`ok`, or the name of a failure; empty: any."""
    start: int = 0
    """How many of those found come before the page."""


class Page(NamedTuple):
    """Some of the calls found."""

    calls: list[dict[str, Any]]
    total: int
    outcomes: list[str]
    """Of all calls of the run."""


def search(run: Run, wanted: Wanted, most: int, words: int) -> Page:
    """The calls that are wanted, the first first.

    Args:
        run: The run.
        wanted: What is looked for.
        most: Calls of a page.
        words: Characters of a prompt or a reply.
    """
    if not run.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'calls'"):
        return Page([], 0, [])
    where, values = _condition(wanted)
    columns = ", ".join((*FIELDS, f"substr(request, 1, {words})", f"substr(reply, 1, {words})"))
    columns += ", length(request), length(reply)"
    total = run.query(f"SELECT count(*) FROM calls {where}", *values)[0][0]
    outcomes = sorted(str(row[0]) for row in run.query("SELECT DISTINCT outcome FROM calls LIMIT 50"))
    page = f"SELECT {columns} FROM calls {where} ORDER BY rowid LIMIT ? OFFSET ?"
    return Page([_call(row) for row in run.query(page, *values, most, max(0, wanted.start))], total, outcomes)


def _condition(wanted: Wanted) -> tuple[str, list[str]]:
    parts, values = [], []
    if wanted.text:
        escaped = wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        # prompts are kept as JSON, where letters beyond ASCII may be written as escapes
        spelled = json.dumps(wanted.text)[1:-1].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        parts.append("(" + " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in ("request", "reply") * 2) + ")")
        values += [f"%{escaped}%"] * 2 + [f"%{spelled}%"] * 2
    if wanted.outcome:
        parts.append("outcome = ?")
        values.append(wanted.outcome)
    return f"WHERE {' AND '.join(parts)}" if parts else "", values


def _call(row: tuple[Any, ...]) -> dict[str, Any]:
    *facts, request, reply, asked, said = row
    told = {"request": _spoken(request), "reply": _spoken(reply)}
    cut = {"request": max(0, (asked or 0) - len(request or "")), "reply": max(0, (said or 0) - len(reply or ""))}
    return dict(zip(FIELDS, facts, strict=True)) | told | {"cut": cut}


def _spoken(text: Any) -> list[dict[str, str]]:
    """The parts of a prompt or a reply, each with who speaks; what is not JSON of ours is one part."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return [{"who": "", "text": "" if text is None else str(text)}]
    if not isinstance(value, dict):
        return [{"who": "", "text": value if isinstance(value, str) else _written(value)}]
    turns = value.pop("messages", None)
    turns = turns if isinstance(turns, list) else [{"role": "", "text": value.pop("text", "")}]
    spoken = [_turn(turn) for turn in turns]
    rest = {name: part for name, part in value.items() if part not in (None, "", [], {}) and name != "logprobs"}
    return spoken + ([{"who": "settings", "text": _written(rest)}] if rest else [])


def _turn(turn: Any) -> dict[str, str]:
    if not isinstance(turn, dict):
        return {"who": "", "text": _written(turn)}
    text, calls = str(turn.get("text", "")), turn.get("calls")
    return {"who": str(turn.get("role", "")), "text": f"{text}\n{_written(calls)}" if calls else text}


def _written(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
