"""Proposals that wait for a person, as files: whoever may write in the folder can answer.

    NAME.diff     what would change
    NAME.json     {"name", "purpose", "asked"}: what it is, what was asked for, seconds since 1970
    NAME.answer   `yes`, or `no` and the reason; the first one counts

NAME holds a digest of the proposal, so that an answer never counts for another one.
"""

import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from aiga.core.errors import UsageError
from aiga.safety.approval import Decision, Proposed

PERSON = "person"
WORDS = {"yes": True, "y": True, "no": False, "n": False}
LETTERS = 40
"""Of a candidate's name in that of its files."""


class Pending(NamedTuple):
    """One proposal on disk."""

    folder: Path
    name: str
    """Of the files."""
    proposed: Proposed

    @property
    def diff(self) -> Path:
        return self.folder / f"{self.name}.diff"

    def decision(self) -> Decision | None:
        """What was answered; None: nothing yet."""
        path = self.folder / f"{self.name}.answer"
        try:
            text = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read ({error}): mend or remove it.") from error
        if not text:  # is being written
            return None
        word, _, reason = re.sub(r"[\s:,]+", " ", text, count=1).partition(" ")
        if word.lower() not in WORDS:
            raise UsageError(f"{path} says {word!r}: write `yes`, or `no` and the reason; then `aiga resume` the run.")
        return Decision(WORDS[word.lower()], PERSON, reason.strip())

    def answer(self, allowed: bool, reason: str = "") -> Decision:
        """Answer, at once and for good: the decision, that of somebody else who was faster included."""
        written = self.folder / f"{self.name}.answer.{os.getpid()}"
        written.write_text(f"{'yes' if allowed else 'no'} {reason}".strip() + "\n", encoding="utf-8")
        try:
            os.link(written, self.folder / f"{self.name}.answer")
        except FileExistsError:
            pass
        finally:
            written.unlink()
        return self.decision() or Decision(allowed, PERSON, reason)


def put(folder: Path, proposed: Proposed) -> Pending:
    """Write a proposal down, if it is not there yet."""
    content = json.dumps([proposed.name, proposed.changes])
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", proposed.name).strip("-.")[:LETTERS]
    pending = Pending(folder, f"{slug}-{hashlib.sha256(content.encode()).hexdigest()[:16]}", proposed)
    described = folder / f"{pending.name}.json"
    if not described.exists():
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"name": proposed.name, "purpose": proposed.purpose, "asked": round(time.time(), 3)}
        pending.diff.write_text(proposed.changes, encoding="utf-8", newline="\n")
        temporary = folder / f"{pending.name}.json.tmp"
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, described)  # last: a proposal with a description is whole
    return pending


def unanswered(folder: Path) -> list[Pending]:
    """The proposals of a folder that nobody answered, the oldest first."""
    found = []
    for path in folder.glob("*.json"):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            changes = path.with_suffix(".diff").read_bytes().decode()
            pending = Pending(folder, path.stem, Proposed(facts["name"], changes, facts["purpose"]))
            found.append((facts["asked"], pending))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} cannot be read as a proposal ({error}): mend or remove it.") from error
    return [pending for _, pending in sorted(found, key=lambda pair: pair[0]) if pending.decision() is None]
