"""Rules that a change must keep to: what a diff may touch, add and take away.

Rules look at text.  They are a filter for a person's attention, not a sandbox: who means to deceive can write the same
thing in a way that no rule knows.  What is allowed still runs in the sandbox, without a network and without keys.

A file of rules is TOML or JSON, and says only what differs from the usual rules:

    lines = 200                          # that may be added and removed
    untouched = ["broker.py", "data/*"]  # replaces the usual list
    off = ["network"]                    # rules that do not hold
    [added]                              # rules of one's own, by name: what no added line may match
    sleeping = '\\btime\\.sleep\\('
    [removed]                            # what may not get less
    tests = '\\bassert\\b'
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from aiga.core.errors import UsageError
from aiga.core.texts import visible
from aiga.safety.approval import Decision, Proposed

QUOTED = 80
"""Letters of a line that a denial shows."""
NETWORK = (
    r"^\s*(?:import|from)\s+(?:socket|ssl|http|urllib|urllib3|requests|httpx|aiohttp|websockets?|ftplib|smtplib|poplib"
    r"|imaplib|telnetlib|socketserver|xmlrpc|paramiko|grpc|zmq)\b"
    r"|\b(?:https?|ftp|wss?)://|\b(?:curl|wget|ncat|netcat|ssh|scp|rsync|telnet)\s+[-\w]|/dev/(?:tcp|udp)/"
)
PROCESS = (
    r"^\s*(?:import|from)\s+(?:subprocess|multiprocessing|pty|ctypes|cffi|_posixsubprocess)\b|\bsubprocess\."
    r"|\bos\s*\.\s*(?:system|popen|exec[lv]\w*|spawn\w+|posix_spawnp?|fork|forkpty|kill)\b"
    r"|\bfrom\s+os\s+import\b.*\b(?:system|popen|exec\w+|spawn\w+|fork|kill)\b|\basyncio\.create_subprocess"
)
SECRETS = (
    r"\bos\s*\.\s*(?:environb?|getenvb?|putenv)\b|\bfrom\s+os\s+import\b.*\b(?:environ|getenv)|\bdotenv\b"
    r"|/proc/(?:self|\d+)/environ|/etc/(?:passwd|shadow)|\.(?:ssh|aws|netrc|kube)\b|\bid_(?:rsa|ed25519)\b"
    r"|(?i:api[_-]?key|credential|passw(?:or)?d|secret|authorization\s*:|bearer\s)"
)
HIDDEN = (
    r"\b(?:exec|eval)\s*\(|\b__import__\b|\bimport_module\b|\b__builtins__\b|\bimport\s+builtins\b|\bmarshal\b"
    r"|\bpickle\b|\b(?:b16|b32|b64|b85|a85|standard_b64|urlsafe_b64)decode\b|\bunhexlify\b|\bbytes\s*\.\s*fromhex\b"
    r"|\bcodecs\s*\.\s*(?:decode|getdecoder)\b|\bcompile\s*\(.*[\"'](?:exec|eval|single)[\"']"
    r"|[A-Za-z0-9+/=_-]{200}|(?:\\x[0-9A-Fa-f]{2}){16}|(?:\bchr\s*\([^()]*\)\s*\+\s*){3}"
)
WATCHED = (
    r"(?i)\b(?:\w*logg(?:er|ing)\w*|\w*logs?|print|transcript\w*|trace\w*|audit\w*|\w*marker\w*"
    r"|\w*(?:limit|timeout|allowance|budget|max_)\w*)\b"
)


class Finding(NamedTuple):
    """A rule that a change breaks, and where."""

    rule: str
    file: str
    line: int
    """Of the changed file, of the file before for a line that was removed; 0: the file as a whole."""
    text: str

    def __str__(self) -> str:
        shown = self.text.strip()
        shown = f"{shown[:QUOTED]} …" if len(shown) > QUOTED else shown
        line = f", line {self.line}" if self.line else ""
        return visible(f"{self.rule}: {self.file}{line}: {shown}").replace("\n", " ")


class Line(NamedTuple):
    """One line of a diff, and where it stands."""

    file: str
    mark: str
    """`+`, `-`, a space; `f` for a file's name, `?` for what is no part of a diff."""
    number: int
    text: str


class Rules(NamedTuple):
    """Allows what keeps to all rules; a denial names the rule and the line."""

    lines: int = 400
    """That may be added and removed, together."""
    letters: int = 500
    """In one added line."""
    untouched: tuple[str, ...] = (
        "broker.py",
        "sitecustomize.py",
        "usercustomize.py",
        "conftest.py",
        "*.pth",
        "*.so",
        "*.pyc",
        ".git*",
        ".git/*",
        ".env*",
        "*.pem",
        "*.key",
        "/*",
        "*../*",
    )
    """Patterns of files, of their whole name or of its last part, that may not be added, changed or removed."""
    tools: tuple[str, ...] = ("tools.py", "tools/*")
    """Files in which programs may be started: rule `process` does not hold there."""
    off: tuple[str, ...] = ()
    """Rules that do not hold."""
    added: Mapping[str, str] = {"network": NETWORK, "process": PROCESS, "secrets": SECRETS, "hidden": HIDDEN}
    """What no added line may match: regular expressions by the rule's name."""
    removed: Mapping[str, str] = {"watched": WATCHED}
    """What may not occur less often in a file than before."""

    @property
    def name(self) -> str:
        return "rules"

    async def decide(self, proposed: Proposed) -> Decision:
        found = list(self.broken(proposed.changes))
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return Decision(not found, self.name, f"{found[0]}{more}" if found else "")

    def broken(self, changes: str) -> Iterator[Finding]:
        """What a diff breaks."""
        found = list(parsed(changes))
        edits = [line for line in found if line.mark in "+-"]
        if len(edits) > self.lines and "lines" not in self.off:
            yield Finding("lines", edits[0].file, 0, f"{len(edits):,} lines changed, {self.lines:,} allowed")
            return  # to look at all of them could take long
        for line in found:
            yield from (finding for one in self._of(line) for finding in self._unless_off(one))
        for rule, pattern in self.removed.items():
            if rule not in self.off:
                yield from lessened(rule, re.compile(pattern), [e for e in edits if len(e.text) <= self.letters])

    def _of(self, line: Line) -> Iterator[Finding]:
        """What one line breaks by itself."""
        if line.mark == "?":
            yield Finding("format", line.file, 0, line.text)
        if line.mark == "f" and _named(line.file, self.untouched):
            yield Finding("untouched", line.file, 0, "must not be changed")
        if line.mark == "+" and len(line.text) > self.letters:
            yield Finding("letters", line.file, line.number, line.text)
        elif line.mark == "+":
            if visible(line.text) != line.text:
                yield Finding("hidden", line.file, line.number, line.text)
            for rule, pattern in self.added.items():
                if re.search(pattern, line.text) and not (rule == "process" and _named(line.file, self.tools)):
                    yield Finding(rule, line.file, line.number, line.text)

    def _unless_off(self, finding: Finding) -> Iterator[Finding]:
        if finding.rule not in self.off:
            yield finding


KNOWN = ("lines", "letters", "untouched", "format")
"""Rules without a pattern."""


def parsed(changes: str) -> Iterator[Line]:
    """The lines of a unified diff with their places.  Lines end at line feeds only."""
    file, number, hunk = "", {"+": 0, "-": 0}, False
    for text in changes.removesuffix("\n").split("\n") if changes else ():
        if text.startswith("diff --git "):
            file, hunk = _file(text), False
            yield Line(file, "f", 0, text)
        elif place := re.match(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@", text):
            number, hunk = {"-": int(place[1]), "+": int(place[2])}, True
        elif hunk and text[:1] in ("+", "-", " "):
            mark = text[0]
            yield Line(file, mark, number["-" if mark == "-" else "+"], text[1:])
            number = {side: n + (mark in (side, " ")) for side, n in number.items()}
        elif not _expected(text, file, hunk):
            yield Line(file, "?", 0, text)


def lessened(rule: str, pattern: re.Pattern[str], edits: list[Line]) -> Iterator[Finding]:
    """Removed lines whose matches no added line of the same file has again."""
    left = Counter((e.file, match[0]) for e in edits if e.mark == "+" for match in pattern.finditer(e.text))
    for edit in edits:
        if edit.mark == "-":
            words = Counter((edit.file, match[0]) for match in pattern.finditer(edit.text))
            if words - left:
                yield Finding(rule, edit.file, edit.number, edit.text)
            left -= words


def read(path: Path) -> Rules:
    """The rules of a file."""
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"the rules {path} cannot be read ({error.strerror}): give --approve rules:FILE.") from error
    except ValueError as error:  # also another encoding
        raise UsageError(f"{path} is no {'JSON' if path.suffix == '.json' else 'TOML'} ({error}): mend it.") from error
    usual = Rules()
    if not isinstance(values, dict) or not values.keys() <= {*Rules._fields}:
        wrong = next((name for name in values if name not in Rules._fields), "") if isinstance(values, dict) else ""
        raise UsageError(f"{path} has {wrong or 'no table'!r}; rules are of {', '.join(Rules._fields)}.")
    merged = {name: _checked(path, name, value, getattr(usual, name)) for name, value in values.items()}
    rules = usual._replace(**merged)
    names = {*KNOWN, *rules.added, *rules.removed}
    if unknown := [name for name in rules.off if name not in names]:
        raise UsageError(f"{path} turns off the rule {unknown[0]!r}; there are {', '.join(sorted(names))}.")
    return rules


def _checked(path: Path, name: str, value: Any, usual: Any) -> Any:
    """A value of a file, if it is of the kind that the rule needs."""
    if isinstance(usual, int) and isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(usual, tuple) and isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    if isinstance(usual, Mapping) and isinstance(value, dict) and all(isinstance(p, str) for p in value.values()):
        for rule, pattern in value.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise UsageError(f"{path}, {name}.{rule}: {pattern!r} is no regular expression ({error}).") from error
        return {**usual, **value}
    wanted = "a whole number above zero" if isinstance(usual, int) else "a list of texts"
    wanted = "a table of regular expressions" if isinstance(usual, Mapping) else wanted
    raise UsageError(f"{path}: `{name}` is {value!r}; give {wanted}.")


def _named(file: str, patterns: tuple[str, ...]) -> bool:
    names = (file.lower(), file.lower().rpartition("/")[2])
    return any(fnmatchcase(name, pattern.lower()) for name in names for pattern in patterns)


def _file(text: str) -> str:
    """The name in `diff --git a/NAME b/NAME`, quoted or not; both halves are of equal length."""
    names = text.removeprefix("diff --git ")
    half = names[len(names) // 2 + 1 :]
    with suppress(ValueError):  # the name itself begins with a quotation mark
        half = json.loads(half) if half.startswith('"') else half
    return half.removeprefix("b/")


def _expected(text: str, file: str, hunk: bool) -> bool:
    """Whether a line that is no change may stand where it stands."""
    if hunk:
        return text.startswith("\\ No newline")
    return bool(file) and text.startswith(("--- ", "+++ ", "new file mode ", "deleted file mode ", "index "))
