"""A workshop in the sandbox: an agent rewrites files, and a child shows that it still can before it is kept.

sound(agent) = every file compiles, every entry can be imported, and with a scripted model in the place of a real one,
which calls whatever tool the agent offers that can write a file, a file is written
"""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aiga.agents.attempt import AGENT, work
from aiga.agents.domain import Attempt, Files, Order
from aiga.agents.exchange import USUAL, Allowance
from aiga.agents.turns import Asked
from aiga.core.texts import Finished, Recent
from aiga.fm.messages import FM, Reply, Tool, ToolCall
from aiga.fm.offline import Offline
from aiga.sandbox import diffs
from aiga.sandbox.protocol import Limits, Sandbox

MODIFY, SOUND = "agents/modify", "agents/sound"
EXAMINATION = Allowance(calls=12, tokens=10**9, seconds=20.0, window=10**9, limits=Limits(memory_mb=1024, processes=64))
PROBE, CONTENT = "probe.txt", "It can still edit."
PROBED = {"readme.txt": b"An empty project.\n"}
INSTRUCTION = f"Create the file {PROBE} in the current folder. Its only content is the line: {CONTENT}"
LONGEST_REASON = 300


class SandboxedWorkshop:
    """A `Workshop` whose agents work in the sandbox and ask a model through a broker.

    Args:
        fm: Whom a modifying agent asks.
        sandbox: Where all of them run.
        modify: The entry that modifies, `MODULE:FUNCTION`.
        entries: All that an agent must have; None: only that one.
        allowance: Of a modification.
        examination: Of the test that an agent can still edit.
        finished: Where finished attempts are kept.
    """

    def __init__(
        self,
        fm: FM,
        sandbox: Sandbox,
        modify: str = "agent:solve",
        *,
        entries: tuple[str, ...] | None = None,
        allowance: Allowance = USUAL,
        examination: Allowance = EXAMINATION,
        finished: Finished | None = None,
    ) -> None:
        self.fm, self.sandbox, self.entry = fm, sandbox, modify
        self.entries = tuple(dict.fromkeys((modify, *(entries or ()))))
        self.allowance, self.examination, self.finished = allowance, examination, finished or Recent()

    async def modify(self, agent: Files, target: Files, order: Order, *, seed: int) -> Attempt:
        """What `agent` makes of the files `target`, at most what is allowed; they are its current folder."""
        return await work(
            agent,
            self.entry,
            {"instruction": order.instruction, "material": "../material"},
            target,
            material=order.material,
            fm=self.fm,
            sandbox=self.sandbox,
            allowance=self.allowance,
            seed=seed,
            label=MODIFY,
            facts=order.facts,
            finished=self.finished,
        )

    async def sound(self, agent: Files, *, seed: int) -> str:
        """Why an agent cannot be kept, in a sentence; empty: it can be kept.  No model is asked."""
        if fault := await self._broken(agent):
            return fault
        attempt = await work(
            agent,
            self.entry,
            {"instruction": INSTRUCTION, "material": "../material"},
            PROBED,
            fm=Offline({SOUND: scripted}),
            sandbox=self.sandbox,
            allowance=self.examination,
            seed=seed,
            label=SOUND,
            finished=self.finished,
        )
        if attempt.failure not in ("", "empty"):
            return f"it does not come to an end of a small task ({attempt.failure}): {attempt.why}"
        written = diffs.apply(PROBED, attempt.changes).get(PROBE, b"")
        return "" if written.decode(errors="replace").strip() == CONTENT else "no tool that it offers wrote a file"

    async def _broken(self, agent: Files) -> str:
        """What does not compile or cannot be imported."""
        files = {f"{AGENT}/{name}": content for name, content in agent.items()}
        limits = self.examination.limits._replace(seconds=self.examination.seconds)
        result = await self.sandbox.run(["python", "-P", "-c", CHECK, *self.entries], files=files, limits=limits)
        if result.outcome == "ok":
            return ""
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        told = lines[-1:] if result.outcome in ("error", "memory") else []
        return "".join(told)[:LONGEST_REASON] or f"its import ends with {result.outcome!r}"


CHECK = """
import importlib
import os
import sys
import types

place = os.path.abspath("agent")
faults = []
for folder, _, names in os.walk(place):
    for name in sorted(names):
        path = os.path.join(folder, name)
        if name.endswith(".py"):
            try:
                with open(path, "rb") as file:
                    compile(file.read(), os.path.relpath(path, place), "exec", dont_inherit=True)
            except Exception as error:
                line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
                faults.append(f"{os.path.relpath(path, place)} does not compile: {type(error).__name__}{line}")
if faults:
    sys.exit(sorted(faults)[0])
sys.path.insert(0, place)
sys.modules["broker"] = types.ModuleType("broker")
sys.modules["broker"].ask = None
for entry in sys.argv[1:]:
    module, _, function = entry.partition(":")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except BaseException as error:
        sys.exit(f"{module} cannot be imported: {type(error).__name__}: {error}"[:300].replace("\\n", " "))
    if not callable(found):
        sys.exit(f"{module} has no function {function}")
os._exit(0)
"""
"""It can only be deceived by code that is imported, which then fails at its tasks."""

PATHS = ("path", "file_path", "filepath", "file", "filename", "file_name", "name", "target", "target_file")
CONTENTS = ("content", "contents", "text", "file_text", "new_text", "source", "code", "body", "data", "new_str", "new")
COMMANDS = ("command", "cmd", "script", "shell", "bash", "line", "commands", "input", "code")
WRITES = ("create", "write", "overwrite", "new", "save", "put")
ENDS = ("finish", "submit", "done", "stop", "end", "complete", "answer")
FOLDER = re.compile(r"(?:/[\w.+-]+)+/work\b")


class Try(NamedTuple):
    """One call of a tool that may write the file."""

    tool: str
    arguments: Mapping[str, Any]


def scripted(_: random.Random, asked: Asked) -> Reply:
    """A model that tries each way to write the file, one a turn, then says that it is done."""
    ways = list(tries(asked))
    turn = asked.number
    if turn < len(ways):
        return Reply("", calls=(ToolCall(f"call_{turn}", *ways[turn]),), finish="tool")
    ends = [tool for tool in asked.tools if tool.name.lower() in ENDS]
    if turn < len(ways) + len(ends):
        tool = ends[turn - len(ways)]
        return Reply("", calls=(ToolCall(f"call_{turn}", tool.name, _filled(tool, {})),), finish="tool")
    return Reply("The file is written.")


def tries(asked: Asked) -> Iterator[Try]:
    """Ways to write the file with the tools: an editor, by the full path too if a message tells it; a shell."""
    told = [found[0] for message in asked.messages if (found := FOLDER.search(message.text))]
    paths = [PROBE, *(f"{folder}/{PROBE}" for folder in told[:1])]
    for tool in asked.tools:
        names = _properties(tool)
        path, content = _first(names, PATHS), _first(names, CONTENTS)
        if path and content:
            yield from (Try(tool.name, _filled(tool, {path: place, content: f"{CONTENT}\n"})) for place in paths)
    for tool in asked.tools:
        command = _first(_properties(tool), COMMANDS)
        if command and "enum" not in _properties(tool)[command]:
            yield Try(tool.name, _filled(tool, {command: f"printf '%s\\n' {json.dumps(CONTENT)} > {PROBE}"}))


def _properties(tool: Tool) -> Mapping[str, Mapping[str, Any]]:
    found = tool.parameters.get("properties")
    return {k: v if isinstance(v, dict) else {} for k, v in found.items()} if isinstance(found, dict) else {}


def _first(names: Mapping[str, Any], wanted: Sequence[str]) -> str:
    return next((name for name in wanted if name in names), "")


def _filled(tool: Tool, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments for a tool: those that are known, a choice that writes, and something for whatever else it requires."""
    required, arguments = tool.parameters.get("required"), dict(known)
    for name, schema in _properties(tool).items():
        if name not in arguments and (choices := schema.get("enum")) and isinstance(choices, list):
            writes = [choice for choice in choices if any(word in str(choice).lower() for word in WRITES)]
            arguments[name] = (writes or choices)[0]
        elif name not in arguments and isinstance(required, list) and name in required:
            blank = {"integer": 1, "number": 1, "boolean": False, "array": [], "object": {}}
            kind = schema.get("type")
            arguments[name] = blank.get(kind, "") if isinstance(kind, str) else ""
    return arguments
