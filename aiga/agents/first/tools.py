"""What the agent can do besides talking: a shell, an editor, a search, and the end of the work."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile

SECONDS = 60.0
"""Of a command."""
LONGEST = 10_000
"""Characters of a result."""
MATCHES = 100


def shell(command, seconds=SECONDS):
    """Run a command; what it printed, and its exit code if that is not 0."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(min(seconds, SECONDS))
            end = f"\n(exit code {process.returncode})" if process.returncode else ""
        except subprocess.TimeoutExpired:
            end = f"\n(ended after {min(seconds, SECONDS):g} seconds)"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        return cut(output.read().decode(errors="replace")) + end


def edit(action, path, text="", old="", start=1, end=None):
    """View a file, create it (or replace all of it), or replace one place in it."""
    if action == "create":
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        return f"{path} has {len(text.splitlines())} lines."
    with open(path, encoding="utf-8", newline="") as file:
        content = file.read()
    if action == "view":
        lines = content.splitlines()
        return cut(
            "\n".join(f"{n:5} {lines[n - 1]}" for n in range(max(1, start), min(end or len(lines), len(lines)) + 1))
        )
    if action != "replace":
        return f"error: no action {action!r}; there are view, create, replace"
    if content.count(old) != 1 or not old:
        return f"error: `old` is in {path} {content.count(old) if old else 0} times; it must be there once"
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(content.replace(old, text))
    return f"replaced in {path}, line {content[: content.index(old)].count(chr(10)) + 1}."


def search(pattern, path="."):
    """Lines of text files that a regular expression is found in."""
    wanted, found = re.compile(pattern), []
    for name in files(path):
        try:
            with open(name, encoding="utf-8") as file:
                lines = enumerate(file.read().splitlines(), 1)
        except (OSError, UnicodeDecodeError):
            continue
        found += [f"{name}:{number}: {line[:200]}" for number, line in lines if wanted.search(line)]
        if len(found) > MATCHES:
            return "\n".join([*found[:MATCHES], "(more were found)"])
    return "\n".join(found) or "nothing was found"


def files(path):
    """A file, or all files in a folder, without hidden folders."""
    if os.path.isfile(path):
        return [path]
    found = []
    for place, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        found += [os.path.join(place, name) for name in sorted(names)]
    return found


def finish(summary=""):
    """Say that the work is done."""
    return summary


def cut(text):
    """A text without its middle, if it is long."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]}\n... {len(text) - LONGEST} characters left out ...\n{text[-LONGEST // 2 :]}"


def run(name, arguments):
    """Use a tool; what goes wrong is part of the result, for the model to read."""
    known = {"shell": shell, "edit": edit, "search": search, "finish": finish}
    if name not in known:
        return f"error: no tool {name!r}; there are {', '.join(known)}"
    try:
        return str(known[name](**arguments)).encode(errors="replace").decode()
    except Exception as error:
        return f"error: {type(error).__name__}: {error}"


def described(name, description, required, **properties):
    """A tool as a model is told of it."""
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"name": name, "description": description, "parameters": parameters}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
DESCRIPTIONS = [
    described(
        "shell",
        "Run a command with bash in the current folder. There is no network. It is ended, with all that it started, "
        f"after {SECONDS:.0f} seconds. A long output loses its middle.",
        ["command"],
        command=TEXT,
    ),
    described(
        "edit",
        "View or change one text file. `view` shows it with line numbers, from `start` to `end` if they are given. "
        "`create` writes `text` as the whole file. `replace` puts `text` in the place of `old`, which must be in the "
        "file exactly once, with all its blanks.",
        ["action", "path"],
        action={"type": "string", "enum": ["view", "create", "replace"]},
        path=TEXT,
        text=TEXT,
        old=TEXT,
        start=NUMBER,
        end=NUMBER,
    ),
    described(
        "search",
        "Find a regular expression of Python in the text files of a folder, or in one file.",
        ["pattern"],
        pattern=TEXT,
        path=TEXT,
    ),
    described("finish", "Say that the task is done, and in a sentence what was changed.", ["summary"], summary=TEXT),
]
