"""What changed between two sets of files, as text: a unified diff that `git apply` and `apply` take.

Contents that are no UTF-8 text are listed by digest, and not restored. Lines are matched by patience: equal beginnings
and ends, then lines that occur once on both sides, then the same between those. No content makes that slow, and the
files may be a hostile program's; at worst the answer is longer than it need be.
"""

import bisect
import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from aiga.core.errors import UsageError

CONTEXT = 3
DEPTH = 8
"""How often lines are looked for between lines that were found."""
LINE = re.compile(rb"[^\n]*\n|[^\n]+")
HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")
NO_NEWLINE = "\\ No newline at end of file"
HEAD, NEW, DELETED = "diff --git ", "new file mode", "deleted file mode"

Pair = tuple[int, int]
"""A line of the one and an equal line of the other."""


def diff(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    """The changes, in the order of names; empty: there are none."""
    names = sorted({*before, *after})
    return "".join(_file(name, before.get(name), after.get(name)) for name in names)


def _file(name: str, before: bytes | None, after: bytes | None) -> str:
    if before == after:
        return ""
    if not (_is_text(before) and _is_text(after)):
        return f"Binary file {_quoted(name)}: {_digest(before)} -> {_digest(after)}\n"
    old, new = _quoted(f"a/{name}"), _quoted(f"b/{name}")
    head = [f"{HEAD}{old} {new}"]
    head += [f"{NEW} 100644"] * (before is None) + [f"{DELETED} 100644"] * (after is None)
    if before or after:
        tab = "\t" * (" " in name)  # ends a name with spaces, for git
        head.append("--- /dev/null" if before is None else f"--- {old}{tab}")
        head.append("+++ /dev/null" if after is None else f"+++ {new}{tab}")
    return "\n".join([*head, *_hunks(_lines(before), _lines(after))]) + "\n"


def _is_text(content: bytes | None) -> bool:
    if content is None:
        return True
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _digest(content: bytes | None) -> str:
    return "none" if content is None else f"sha256:{hashlib.sha256(content).hexdigest()}"


def _quoted(name: str) -> str:
    """As git writes it."""
    return json.dumps(name, ensure_ascii=False) if re.search(r'["\\]', name) else name


def _lines(content: bytes | None) -> list[bytes]:
    """With their ends, at line feeds only."""
    return LINE.findall(content or b"")


def _hunks(old: list[bytes], new: list[bytes]) -> Iterator[str]:
    matcher = difflib.SequenceMatcher(None, old, new)  # for its grouping; its own search is cubic at worst
    blocks = [difflib.Match(*block) for block in _blocks(old, new)]
    matcher.matching_blocks = blocks  # pyright: ignore[reportAttributeAccessIssue]: what it keeps when it has searched
    for group in matcher.get_grouped_opcodes(CONTEXT):
        (_, i, _, j, _), (_, _, i_end, _, j_end) = group[0], group[-1]
        yield f"@@ -{_range(i, i_end)} +{_range(j, j_end)} @@"
        for tag, i, i_end, j, j_end in group:
            if tag == "equal":
                yield from (_marked(" ", line) for line in old[i:i_end])
                continue
            yield from (_marked("-", line) for line in old[i:i_end])
            yield from (_marked("+", line) for line in new[j:j_end])


def _range(start: int, end: int) -> str:
    return f"{start + (end > start)},{end - start}"


def _marked(mark: str, line: bytes) -> str:
    text = line.decode()
    return mark + text.removesuffix("\n") + ("" if text.endswith("\n") else f"\n{NO_NEWLINE}")


def _blocks(old: list[bytes], new: list[bytes]) -> list[tuple[int, int, int]]:
    """Equal runs of lines, in order, ended by an empty one: where they begin, and how many lines."""
    blocks: list[tuple[int, int, int]] = []
    for i, j in _pairs(old, new, (0, 0), (len(old), len(new)), DEPTH):
        if blocks and (i, j) == (blocks[-1][0] + blocks[-1][2], blocks[-1][1] + blocks[-1][2]):
            blocks[-1] = (*blocks[-1][:2], blocks[-1][2] + 1)
        else:
            blocks.append((i, j, 1))
    return [*blocks, (len(old), len(new), 0)]


def _pairs(old: list[bytes], new: list[bytes], start: Pair, end: Pair, depth: int) -> Iterator[Pair]:
    """Lines that correspond between two places."""
    (i, j), (i_end, j_end) = start, end
    while i < i_end and j < j_end and old[i] == new[j]:
        yield i, j
        i, j = i + 1, j + 1
    tail = 0
    while i < i_end - tail and j < j_end - tail and old[i_end - tail - 1] == new[j_end - tail - 1]:
        tail += 1
    i_end, j_end = i_end - tail, j_end - tail
    if depth and i < i_end and j < j_end and (anchors := _anchors(old, new, range(i, i_end), range(j, j_end))):
        for a, b in anchors:
            yield from _pairs(old, new, (i, j), (a, b), depth - 1)
            yield a, b
            i, j = a + 1, b + 1
        yield from _pairs(old, new, (i, j), (i_end, j_end), depth - 1)
    yield from zip(range(i_end, i_end + tail), range(j_end, j_end + tail), strict=True)


def _anchors(old: list[bytes], new: list[bytes], i: range, j: range) -> list[Pair]:
    """The longest choice, in order on both sides, of the lines that occur once on each."""
    counts, others = Counter(old[k] for k in i), Counter(new[k] for k in j)
    place = {new[k]: k for k in j if others[new[k]] == 1}
    pairs = [(k, place[old[k]]) for k in i if counts[old[k]] == 1 and old[k] in place]
    ends: list[int] = []  # for each length, the smallest end that a choice of it has in `new`
    last: list[int] = []  # and which pair that is
    previous: list[int] = []
    for index, (_, b) in enumerate(pairs):
        length = bisect.bisect(ends, b)
        previous.append(last[length - 1] if length else -1)
        ends[length : length + 1], last[length : length + 1] = [b], [index]
    chosen, index = [], last[-1] if last else -1
    while index >= 0:
        chosen.append(pairs[index])
        index = previous[index]
    return chosen[::-1]


def apply(files: Mapping[str, bytes], changes: str) -> dict[str, bytes]:
    """The files after `changes`, which must fit exactly; UsageError where they do not."""
    changed = dict(files)
    for name, lines in _sections(changes):
        head = lines[: next((k for k, line in enumerate(lines) if line.startswith("@@")), len(lines))]
        if any(line.startswith(NEW) for line in head) == (name in changed):
            state = "already there" if name in changed else "missing"
            raise UsageError(f"the diff does not fit: {name!r} is {state}.")
        content = _patched(name, _lines(changed.get(name)), lines[len(head) :])
        if any(line.startswith(DELETED) for line in head):
            del changed[name]
        else:
            changed[name] = content
    return changed


def _sections(changes: str) -> Iterator[tuple[str, list[str]]]:
    """Each file's name and the lines that follow."""
    section: tuple[str, list[str]] | None = None
    for line in changes.removesuffix("\n").split("\n"):
        if line.startswith(HEAD):
            if section:
                yield section
            section = _name(line.removeprefix(HEAD)), []
        elif section and not line.startswith("Binary file "):
            section[1].append(line)
    if section:
        yield section


def _name(names: str) -> str:
    """Of `a/NAME b/NAME`."""
    try:
        old = json.JSONDecoder().raw_decode(names)[0] if names.startswith('"') else names[: len(names) // 2]
    except ValueError:
        old = ""
    if names != f"{_quoted(old)} {_quoted('b' + old[1:])}" or not old.startswith("a/"):
        raise UsageError(f"a diff names one file twice, as a/NAME b/NAME: {names!r} does not.")
    return old[2:]


def _patched(name: str, old: list[bytes], lines: list[str]) -> bytes:
    found: list[bytes] = []
    at = 0
    for k, line in enumerate(lines):
        mark, text = line[:1], line[1:].encode() + b"\n"
        if line == NO_NEWLINE:
            continue
        if k + 1 < len(lines) and lines[k + 1] == NO_NEWLINE:
            text = text[:-1]
        if hunk := HUNK.match(line):
            start = int(hunk[1]) - (hunk[2] != "0")
            found += old[at:start]
            at = max(at, start)
        elif mark == "+":
            found.append(text)
        elif mark in (" ", "-") and old[at : at + 1] == [text]:
            found += [text] * (mark == " ")
            at += 1
        else:
            raise UsageError(f"the diff does not fit {name!r}: its line {at + 1} is not {line[1:]!r}.")
    return b"".join([*found, *old[at:]])
