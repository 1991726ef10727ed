import asyncio
import json
import random
from typing import Any

import pytest

from aiga.agents import roots
from aiga.agents.domain import Files, Order, Workshop
from aiga.agents.turns import Asked
from aiga.agents.workshop import CONTENT, EXAMINATION, MODIFY, PROBE, SandboxedWorkshop, scripted, tries
from aiga.core.texts import Recent
from aiga.fm.messages import Message, Reply, Tool, ToolCall
from aiga.fm.offline import Offline
from aiga.sandbox import diffs, ladder

FIRST = roots.first()
QUICK = EXAMINATION._replace(seconds=2.0)


def nobody(rng: Any, asked: Asked) -> Reply:
    raise AssertionError("no model is asked")


def workshop(model: Any = nobody, **options: Any) -> SandboxedWorkshop:
    return SandboxedWorkshop(
        Offline({MODIFY: model}), ladder.best(), **({"examination": QUICK, "finished": Recent()} | options)
    )


def unsound(files: Files, **options: Any) -> str:
    return asyncio.run(workshop(**options).sound(files, seed=1))


def changed(name: str, *replaced: tuple[str, str]) -> Files:
    """The first agent with something else in a file."""
    text = FIRST[name].decode()
    for old, now in replaced:
        assert old in text
        text = text.replace(old, now)
    return {**FIRST, name: text.encode()}


def test_the_first_agent_is_sound_and_a_workshop_is_one():
    assert isinstance(workshop(), Workshop)
    assert unsound(FIRST) == ""
    assert unsound(FIRST, entries=("agent:solve", "window:cut")) == ""


RENAMED = ('action={"type": "string", "enum": ["view", "create", "replace"]}', 'action={"type": "string"}')
NO_SHELL = ('"shell",\n        "Run', '"look",\n        "Run')


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            changed("agent.py", ("def solve(task, system=SYSTEM):", "def solve(task, system=SYSTEM)")),
            "agent.py does not compile: SyntaxError, line",
        ),
        ({**FIRST, "more/x.py": b"a = '\\0"}, "more/x.py does not compile: SyntaxError"),
        ({**FIRST, "x.py": b"\xff"}, "x.py does not compile"),
        ({**FIRST, "x.py": b"-" * 99_999 + b"1"}, "x.py does not compile"),
        (changed("agent.py", ("import window", "import windows")), "agent cannot be imported: ModuleNotFoundError"),
        (changed("agent.py", ("def solve(", "def work(")), "agent has no function solve"),
        ({name: text for name, text in FIRST.items() if name != "agent.py"}, "agent cannot be imported"),
        ({}, "agent cannot be imported"),
        (changed("agent.py", ('"tools": tools.DESCRIPTIONS', '"tools": []')), "no tool that it offers wrote a file"),
        (
            changed("tools.py", ('"edit": edit, ', ""), ('{"shell": shell, ', "{")),
            "no tool that it offers wrote a file",
        ),
        (changed("tools.py", ("def run(name, arguments):", "def run(name):")), "(crash): TypeError"),
        (
            changed("agent.py", ("    for _ in range(TURNS):", "    while True:\n        pass\n    while True:")),
            "(time): the 2 seconds",
        ),
        (changed("agent.py", ("        return reply\n", "        reply\n")), "(crash): the agent ended with 'killed'"),
        (changed("agent.py", ("TURNS = 40", "raise SystemExit('away\\nwith it')")), "SystemExit: away with it"),
        ({**FIRST, "agent.py": b"import os\nos.abort()"}, "its import ends with 'killed'"),
    ],
)
def test_an_agent_that_is_not_sound_is_refused_in_a_sentence(files, reason):
    found = unsound(files)
    assert reason in found
    assert "\n" not in found


def test_every_entry_must_be_there_and_the_one_that_modifies_is_tried():
    files = {"task_agent.py": b"def solve(task):\n    return 1\n", "meta_agent.py": FIRST["agent.py"]}
    files |= {name: FIRST[name] for name in ("tools.py", "window.py")}
    entries = ("meta_agent:solve", "task_agent:solve")
    assert unsound(files, modify="meta_agent:solve", entries=entries) == ""
    assert unsound({**files, "task_agent.py": b""}, modify="meta_agent:solve", entries=entries) == (
        "task_agent has no function solve"
    )
    assert unsound(files, modify="task_agent:solve", entries=entries) == "no tool that it offers wrote a file"


@pytest.mark.parametrize(
    "lost", [('"edit": edit, ', ""), ('{"shell": shell, ', "{"), ("            file.write(text)", "            pass")]
)
def test_one_tool_that_can_write_is_enough(lost):
    assert unsound(changed("tools.py", lost)) == ""


def tool(name: str, required: tuple[str, ...] = (), **properties: Any) -> Tool:
    return Tool(name, "", {"type": "object", "properties": properties, "required": [*required]})


TEXT = {"type": "string"}
LOOK = tool("look", path=TEXT, pattern=TEXT)


@pytest.mark.parametrize(
    ("offered", "called", "arguments"),
    [
        (
            tool("write_file", file_path=TEXT, content=TEXT),
            "write_file",
            {"file_path": PROBE, "content": f"{CONTENT}\n"},
        ),
        (
            tool(
                "editor",
                ("command", "path", "n"),
                command={"enum": ["view", "create"]},
                path=TEXT,
                file_text=TEXT,
                n={},
            ),
            "editor",
            {"command": "create", "path": PROBE, "file_text": f"{CONTENT}\n", "n": ""},
        ),
        (
            tool("bash", ("cmd", "timeout"), cmd=TEXT, timeout={"type": "integer"}),
            "bash",
            {"cmd": f"printf '%s\\n' \"{CONTENT}\" > {PROBE}", "timeout": 1},
        ),
        (LOOK, "", {}),
        (Tool("odd", "", {"type": "object", "properties": []}), "", {}),
    ],
)
def test_the_scripted_model_finds_the_tool_that_writes(offered, called, arguments):
    reply = scripted(random.Random(0), Asked((), (LOOK, offered)))
    assert [(call.name, dict(call.arguments)) for call in reply.calls] == ([(called, arguments)] if called else [])
    assert bool(reply.text) != bool(called)


def test_the_scripted_model_tries_the_full_path_once_it_is_told():
    asked = Asked((Message("tool", "pwd\n/box/work\n"),), (tool("write", path=TEXT, text=TEXT),))
    assert [way.arguments["path"] for way in tries(asked)] == [PROBE, f"/box/work/{PROBE}"]


def test_an_agent_rewrites_another_with_what_the_order_says():
    def model(rng: Any, asked: Asked) -> Reply:
        assert asked.about == "lesson"
        assert "Raise TURNS." in asked.messages[1].text
        commands = ["cat ../material/log.txt", "sed -i 's/^TURNS = 40/TURNS = 50/' agent.py && rm README.md"]
        if asked.number < 2:
            return Reply("", calls=(ToolCall("1", "shell", {"command": commands[asked.number]}),))
        assert asked.messages[3].text == "it took too many turns"
        return Reply("Raised.")

    order = Order("Raise TURNS.", {"log.txt": b"it took too many turns"}, "lesson")
    shop = workshop(model)
    attempt = asyncio.run(shop.modify(FIRST, FIRST, order, seed=1))
    assert (attempt.failure, attempt.answer, attempt.calls) == ("", "Raised.", 3)
    child = diffs.apply(FIRST, attempt.changes)
    assert child == {k: v.replace(b"TURNS = 40", b"TURNS = 50") for k, v in FIRST.items() if k != "README.md"}
    assert asyncio.run(shop.sound(child, seed=1)) == ""
    assert [json.loads(line).get("call") for line in attempt.transcript.splitlines()] == [0, None, 1, None, 2, None]


def test_a_modification_that_leads_nowhere_says_why():
    def model(rng: Any, asked: Asked) -> Reply:
        return Reply("", calls=(ToolCall("1", "shell", {"command": "ls"}),))

    found = asyncio.run(workshop(model).modify(FIRST, FIRST, Order("Do something."), seed=1))
    assert (found.failure, found.changes, found.answer) == ("empty", "", "stopped after 40 turns")
