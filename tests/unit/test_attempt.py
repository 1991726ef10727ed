import asyncio
import json
import os
from typing import Any

import pytest

from aiga.agents import roots
from aiga.agents.attempt import LONGEST_ANSWER, left, work
from aiga.agents.domain import Attempt, Files
from aiga.agents.exchange import NOTED, PATIENCE, Allowance, Exchange
from aiga.agents.turns import problem
from aiga.core.errors import BudgetExceeded
from aiga.core.texts import Recent
from aiga.fm.client import connect
from aiga.fm.messages import ModelFailed, Reply, ToolCall, Usage
from aiga.fm.offline import Offline
from aiga.safety.budget import Budget, Caps
from aiga.sandbox import diffs, ladder
from aiga.sandbox.protocol import Limits, Result
from tests.fm_server import Answer, Server, call, fail, said, text

FOLDER: Files = {"sum.py": b"def add(a, b):\n    return a - b\n", "notes/read.md": b"notes\n"}
SMALL = Allowance(seconds=5.0, limits=Limits(memory_mb=512, files_mb=4, processes=32))


def echo(rng: Any, asked: Any) -> Reply:
    """Says the number of the call, and a random number."""
    return Reply(f"{asked.number}: {rng.random():.6f}", usage=Usage(100, 20), cost=0.25)


def attempt(code: str | Files, model: Any = echo, task: Any = None, **options: Any) -> Attempt:
    """What an agent of one file, or of several, makes of a task."""
    agent = {"agent.py": code.encode()} if isinstance(code, str) else code
    options = {"allowance": SMALL, "seed": 1, "label": "test", "wanted": "answer"} | options
    fm = options.pop("fm", None) or Offline({"test": model})
    task = task or {"instruction": "Mend add."}
    return asyncio.run(work(agent, "agent:solve", task, FOLDER, fm=fm, sandbox=ladder.best(), **options))


def asking(messages: str = '[{"role": "user", "text": "hello"}]', times: int = 1, then: str = "") -> str:
    """An agent that asks, and hands in what it is told."""
    return f"""
from broker import ask
def solve(task):
    replies = [ask({{"messages": {messages}}}) for _ in range({times})]
    {then}
    return replies
"""


def test_what_an_agent_changes_and_returns_comes_back():
    code = """
import os, sys
def solve(task):
    print("not part of the answer")
    os.remove("notes/read.md")
    os.mkdir("__pycache__")
    texts = {"sum.py": "fixed\\n", "a/b c.txt": "new", "__pycache__/x.pyc": "", "../agent/agent.py": ""}
    for name, text in texts.items():
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        open(name, "w").write(text)
    return [task, open("../material/m.txt").read(), os.path.basename(os.getcwd())]
"""
    found = attempt(code, task={"instruction": "x", "n": 1}, material={"m.txt": b"material"})
    assert found.failure == found.why == ""
    assert found.answer == [{"instruction": "x", "n": 1}, "material", "work"]
    assert diffs.apply(FOLDER, found.changes) == {"sum.py": b"fixed\n", "a/b c.txt": b"new"}
    assert 0 < found.seconds < 5


def test_what_an_agent_is_given_to_read_takes_no_room_from_what_it_may_write():
    material = {f"{n}/evaluations.json": b"x" * 2**20 for n in range(SMALL.limits.files_mb)}
    material |= {f"{n}/small.json": b"x" for n in range(500)}
    code = "import time\ndef solve(task):\n    open('new.txt', 'w').write('new')\n    time.sleep(0.5)"
    found = attempt(code, material=material, wanted="changes")
    assert (found.failure, diffs.apply(FOLDER, found.changes)["new.txt"]) == ("", b"new")


def test_an_agent_that_leaves_threads_and_processes_behind_has_ended_all_the_same():
    code = """
import subprocess, threading, time
def solve(task):
    threading.Thread(target=time.sleep, args=(60,)).start()
    subprocess.Popen(["sleep", "60"])
    return 1
"""
    assert attempt(code)[:2] == ("", 1)


def test_the_transcript_holds_everything_and_says_nothing_twice():
    code = """
from broker import ask
def solve(task):
    said = [{"role": "system", "text": "S"}, {"role": "user", "text": "one"}]
    tools = [{"name": "t", "description": "d", "parameters": {"type": "object"}}]
    for word in ("two", "three"):
        reply = ask({"messages": said, "tools": tools, "temperature": 0.5})
        said += [{"role": "assistant", "text": reply["text"]}, {"role": "user", "text": word}]
    ask({"messages": [{"role": "user", "text": "\\u00fc", "calls": []}]})
    ask({"messages": [said[0], {"role": "user", "text": "else"}], "max_tokens": 7})
    open("../transcript", "w").write("forged")
    return "done"
"""
    found = attempt(code)
    lines = [json.loads(line) for line in found.transcript.splitlines()]
    told = [line["text"] for line in lines if "reply" in line]
    assert [line.get("call", line.get("reply", line.get("kind"))) for line in lines] == [0, 0, 1, 1, "request", 2, 2]
    assert lines[0]["messages"] == [{"role": "system", "text": "S"}, {"role": "user", "text": "one"}]
    assert lines[0]["tools"][0]["name"] == "t"
    assert lines[0]["temperature"] == 0.5
    assert lines[2] == {"call": 1, "kept": 3, "messages": [{"role": "user", "text": "two"}]}
    assert lines[5] == {"call": 2, "kept": 1, "messages": [{"role": "user", "text": "else"}], "max_tokens": 7}
    assert [line[:3] for line in told] == ["0: ", "1: ", "2: "]
    assert (found.calls, found.tokens, found.usd) == (3, 360, 0.75)


def test_seeds_depend_on_what_is_asked_and_how_often_not_on_the_order():
    code = """
from concurrent.futures import ThreadPoolExecutor
from broker import ask
def one(word):
    return ask({"messages": [{"role": "user", "text": word}]})["text"][3:]
def solve(task):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, task["words"]))
"""
    words = list("abcdefgh")
    there = attempt(code, task={"words": words}).answer
    back = attempt(code, task={"words": words[::-1]}).answer
    assert there == back[::-1]
    assert len({*there}) == 8
    assert len({reply["text"][3:] for reply in attempt(asking(times=3)).answer}) == 3
    assert attempt(code, task={"words": words}, seed=2).answer != there


def test_a_finished_attempt_is_found_again_and_another_one_is_made():
    finished, asked = Recent(), []

    def model(rng: Any, said: Any) -> Reply:
        asked.append(said)
        return echo(rng, said)

    options: dict[str, Any] = {"model": model, "finished": finished, "facts": "of the task"}
    first = attempt(asking(), **options)
    assert first == attempt(asking(), **options)
    assert [one.about for one in asked] == ["of the task"]
    others: list[dict[str, Any]] = [
        {"seed": 2},
        {"task": {"instruction": "else"}},
        {"material": {"a": b"a"}},
        {"allowance": SMALL._replace(calls=39)},
        {"wanted": "changes"},
    ]
    for other in others:
        attempt(asking(), **options | other)
    attempt(asking(then="pass"), **options)
    assert len(asked) == 2 + len(others)


def test_an_attempt_that_is_cut_off_is_not_finished():
    class Never(Offline):
        async def generate(self, *_: Any, **__: Any) -> Reply:
            await asyncio.sleep(60)
            raise AssertionError

    class Watched(Recent):
        puts = 0

        def put(self, key: str, text: str) -> None:
            self.puts += 1

    async def cut_off() -> int:
        files, finished = {"agent.py": asking().encode()}, Watched()
        task = asyncio.create_task(
            work(files, "agent:solve", {}, {}, fm=Never({}), sandbox=ladder.best(), seed=1, label="", finished=finished)
        )
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return finished.puts

    assert asyncio.run(cut_off()) == 0


def test_the_budget_of_the_run_is_not_the_attempts():
    def broke(rng: Any, said: Any) -> Reply:
        raise BudgetExceeded("no dollar left")

    with pytest.raises(BudgetExceeded, match="no dollar left"):
        attempt(asking(), model=broke)


GIVES_UP = 'if "error" in replies[-1]: return None'


@pytest.mark.parametrize(
    ("code", "allowance", "failure", "why"),
    [
        ("def solve(task):\n    while True: pass", {"seconds": 0.3}, "time", "0.3 seconds"),
        ("import time\ndef solve(task):\n    time.sleep(9)", {"seconds": 0.3}, "time", "0.3 seconds"),
        (asking(times=3, then=GIVES_UP), {"calls": 2}, "budget", "all 2 calls"),
        (asking(times=3, then=GIVES_UP), {"tokens": 200}, "budget", "240 of 200 tokens"),
        (asking(times=3, then=GIVES_UP), {"usd": 0.5}, "budget", "0.5 dollars"),
        (asking('[{"role": "user", "text": "x" * 9000}]', then=GIVES_UP), {"window": 2000}, "context", "about 30"),
        (
            asking(times=3, then="replies[2]['text']"),
            {"calls": 2},
            "budget",
            "then KeyError: 'text' (agent.py, line 5)",
        ),
        ("def solve(task):\n    return {}['k']", {}, "crash", "KeyError: 'k' (agent.py, line 2)"),
        ("def solve(task) return", {}, "crash", "SyntaxError"),
        ("answer = 1", {}, "crash", "has no attribute 'solve'"),
        ("def solve(task):\n    raise SystemExit(0)", {}, "crash", "SystemExit"),
        ("import os\ndef solve(task):\n    os._exit(0)", {}, "crash", "ended without an answer"),
        ("import os\ndef solve(task):\n    os.abort()", {}, "crash", "ended with 'killed'"),
        ("def solve(task):\n    return bytearray(10**9)", {}, "crash", "MemoryError"),
        ("def solve(task):\n    return None", {}, "empty", "nothing was handed in"),
        ("def solve(task):\n    return {1, 2}", {}, "format", "not JSON serializable"),
        ("def solve(task):\n    return float('nan')", {}, "format", "no JSON"),
        ("def solve(task):\n    return 'x' * 300_000", {}, "format", f"{LONGEST_ANSWER} are allowed"),
        ("def solve(task):\n    return '\\ud800'", {}, "format", "half a character"),
        ("def solve(task):\n    open('x', 'w').write('y' * 2**20)", {}, "format", "1048576 are allowed"),
        ("def solve(task):\n    open('x', 'w').write('y' * 5 * 2**20)", {}, "format", "4194304 are allowed"),
    ],
)
def test_failures_are_told_apart(code, allowance, failure, why):
    limits = SMALL.limits._replace(files_mb=8)
    found = attempt(code, allowance=SMALL._replace(limits=limits, **allowance))
    assert (found.failure, found.answer, found.changes) == (failure, None, "")
    assert why in found.why


def test_a_model_that_gives_nothing_usable_is_a_failure_of_its_own():
    def failing(rng: Any, said: Any) -> Reply:
        raise ModelFailed("empty", "nothing came")

    found = attempt(asking(then=GIVES_UP), model=failing)
    assert (found.failure, found.why, found.calls) == ("model", "the model gave no usable reply (empty)", 1)


def test_who_hands_in_what_is_wanted_has_not_failed_though_calls_are_used_up():
    code = asking(times=3, then="open('new.txt', 'w').write('x')")
    found = attempt(code, allowance=SMALL._replace(calls=2), wanted="changes")
    assert (found.failure, found.calls) == ("", 2)
    assert found.answer[2]["kind"] == "calls"
    assert [reply["left"]["calls"] for reply in found.answer[:2]] == [1, 0]
    assert attempt("def solve(task):\n    return 1", wanted="changes").failure == "empty"


def test_an_agent_whose_time_is_up_has_handed_in_what_it_had_changed():
    code = "def solve(task):\n    open('new.txt', 'w').write('x')\n    while True: pass"
    found = attempt(code, allowance=SMALL._replace(seconds=0.5))
    assert found.failure == "time"
    assert diffs.apply(FOLDER, found.changes)["new.txt"] == b"x"


HOSTILE = """
import os, socket, subprocess

def held(act):
    try:
        return not act()
    except Exception:
        return True

def fork_bomb():
    children = 0
    try:
        while children < 300:
            if os.fork() == 0:
                os.pause() if hasattr(os, "pause") else __import__("signal").pause()
            children += 1
    except OSError:
        pass
    return children >= 300

def reads(path):
    return lambda: open(path).read()

def solve(task):
    os.symlink("/etc/passwd", "link.txt")
    os.symlink("/etc", "folder")
    os.mkfifo("pipe")
    os.link("sum.py", "hard.py")
    open("bad\\nname", "w").write("x")
    for name in ("runner.py", "task.json", "agent/agent.py", "answer.json", "material/m", "/tmp/x"):
        try:
            open(os.path.join("..", name), "w").write('{"answer": "forged"}')
        except OSError:
            pass
    return {
        "network": held(lambda: socket.create_connection(("127.0.0.1", task["port"]), 1)),
        "name": held(lambda: socket.gethostbyname("example.com")),
        "shell": held(lambda: not subprocess.run(["bash", "-c", f": < /dev/tcp/127.0.0.1/{task['port']}"]).returncode),
        "file": held(reads(task["secret"])),
        "shadow": held(reads("/etc/shadow")),
        "keys": not [name for name in os.environ if "KEY" in name or "TOKEN" in name],
        "kill": held(lambda: os.kill(task["pid"], 0) or True),
        "forks": not fork_bomb(),
    }
"""


def test_a_hostile_agent_gets_nowhere(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("hidden tests")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with Server(lambda request: text("x")) as server:
        port = int(server.url.rpartition(":")[2])
        task = {"port": port, "secret": str(tmp_path / "secret"), "pid": os.getpid()}
        found = attempt(HOSTILE, task=task)
    assert found.failure == ""
    assert [name for name, held in found.answer.items() if not held] == []
    changed = diffs.apply(FOLDER, found.changes)
    assert changed == {"notes/read.md": b"notes\n"}, "links and files with two names are not collected"
    assert not server.received


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "import os\ndef solve(task):\n    os.write(int(os.environ['AIGA_BROKER'].split(',')[1]), b'x' * 99)",
            "'forged'",
        ),
        ("def solve(task):\n    open('big', 'wb').write(b'x' * 2**23)", "crash"),
        (
            "def solve(task):\n    for n in range(9): open(f'{n}', 'wb').write(b'x' * 2**20)\n    while True: pass",
            "of files",
        ),
        ("import sys\ndef solve(task):\n    sys.stderr.write('x' * 10**6)\n    while True: pass", "kB of output"),
        ("import os\ndef solve(task):\n    os.mkdir('../answer.json')", "IsADirectoryError"),
        ("import os\ndef solve(task):\n    os.symlink('/etc/passwd', '../answer.json')", "Error"),
        ("def solve(task):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x", "recursion"),
    ],
)
def test_hostile_ways_to_hand_in_are_failures(code, why):
    found = attempt(code)
    assert found.failure in ("crash", "format")
    assert why in f"{found.failure} {found.why}"
    assert found.answer is None


def test_a_forged_answer_is_the_agents_own_word_and_checked_like_any_other():
    def judged(word: bytes) -> Attempt:
        exchange = Exchange(Offline({}), SMALL, 1, label="test")
        return left(Result("ok", files={"answer.json": word, "work/a": b"b"}), {"a": b"a"}, exchange, "answer")

    assert judged(b'{"answer": 5}').answer == 5
    assert judged(b"[1]").why == "the answer is forged"
    assert judged(b"not").why == "the answer is no JSON"
    assert judged(b"[" * 100_000).failure == "format"
    assert judged(b'{"answer": ' + b"[" * 40 + b"]" * 40 + b"}").why == "the answer has more than 32 lists in lists"
    assert judged(b'{"answer": "\\ud800"}').failure == "format"
    assert judged(b'{"crash": 5}').failure == "crash"
    assert judged(b"").changes != ""


def test_who_goes_on_asking_for_what_it_may_not_have_is_ended():
    code = "from broker import ask\ndef solve(task):\n    while True: ask({'messages': 'x' * 100})"
    found = attempt(code, allowance=SMALL._replace(seconds=60))
    assert found.failure == "crash"
    assert f"refused {PATIENCE} times" in found.why
    assert len(found.transcript.splitlines()) == NOTED
    assert found.calls == 0


USER = {"role": "user", "text": "x"}
CALLS = {"role": "assistant", "text": "", "calls": [{"id": "1", "name": "t", "arguments": {}}]}
TOOL = {"name": "t", "description": "", "parameters": {"type": "object"}}


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (None, "ask for {"),
        ({"messages": []}, "ask for {"),
        ({"messages": [USER], "model": "else"}, "unknown: model"),
        ({"messages": ["x"]}, "message 0: it must be"),
        ({"messages": [{"role": "developer", "text": "x"}]}, "message 0: it must be"),
        ({"messages": [{"role": [], "text": "x"}]}, "message 0: it must be"),
        ({"messages": [{"role": "user", "text": 1}]}, "message 0: it must be"),
        ({"messages": [{"role": "user", "text": " "}]}, "message 0: it says nothing"),
        ({"messages": [{"role": "user", "text": "x", "calls": []}]}, "message 0: unknown for user: calls"),
        ({"messages": [USER, {"role": "assistant", "text": "x"}]}, "the last message must be"),
        ({"messages": [USER, CALLS]}, "the last message must be"),
        ({"messages": [USER, CALLS, USER]}, "message 2: calls before it have no answer"),
        ({"messages": [USER, CALLS, {"role": "tool", "text": "", "answers": "2"}]}, "message 2: it answers no open"),
        ({"messages": [USER, {"role": "tool", "text": "", "answers": []}]}, "message 1: `answers` must"),
        ({"messages": [USER, {**CALLS, "calls": [{"id": "1"}]}]}, "message 1: a call is"),
        ({"messages": [USER, {**CALLS, "calls": CALLS["calls"] * 2}]}, "message 1: two calls have one id"),
        ({"messages": [{"role": "user", "text": "\ud800"}]}, "the request has half a character"),
        ({"messages": [USER], "tools": [{**TOOL, "parameters": nested(50)}]}, "the request has more than 32"),
        ({"messages": [USER], "temperature": float("nan")}, "the request is no JSON"),
        ({"messages": [USER], "temperature": True}, "`temperature` must be"),
        ({"messages": [USER], "max_tokens": 0}, "`max_tokens` must be"),
        ({"messages": [USER], "tools": {}}, "`tools` must be a list"),
        ({"messages": [USER], "tools": [{"name": "t"}]}, "a tool is {"),
        ({"messages": [USER], "tools": [{**TOOL, "name": "a b"}]}, "the name of a tool"),
        ({"messages": [USER], "tools": [{**TOOL, "description": None}]}, "the description of the tool t"),
        ({"messages": [USER], "tools": [{**TOOL, "parameters": {}}]}, "the parameters of the tool t"),
        ({"messages": [USER], "tools": [TOOL, TOOL]}, "two tools have one name"),
        ({"messages": [USER, CALLS, {"role": "tool", "text": "", "answers": "1"}], "tools": [TOOL]}, ""),
        ({"messages": [USER], "temperature": None, "max_tokens": 5}, ""),
    ],
)
def test_a_request_is_checked(request_, sentence):
    assert problem(request_).startswith(sentence)
    assert bool(problem(request_)) == bool(sentence)


def test_an_agent_may_say_again_whatever_a_model_has_said():
    odd: Any = {"deep": nested(60)}
    replies = [
        Reply("", calls=(ToolCall("1", "t", {"a": "\ud800"}), ToolCall("1", "", {"b": float("nan")}))),
        Reply("", calls=(ToolCall("", "x" * 999, odd),)),
        Reply("done"),
    ]
    code = """
from broker import ask
def solve(task):
    said = [{"role": "user", "text": "x"}]
    while (reply := ask({"messages": said})).get("calls"):
        said += [{"role": "assistant", "text": reply["text"], "calls": reply["calls"]}]
        said += [{"role": "tool", "text": "", "answers": call["id"]} for call in reply["calls"]]
    return reply["text"]
"""
    found = attempt(code, model=lambda rng, said: replies[said.number])
    assert (found.failure, found.answer) == ("", "done")
    assert "unreadable" in found.transcript


def mending(request: dict[str, Any]) -> Answer:
    """A model that looks, fails once, mends, and finishes."""
    turn = sum(message["role"] == "assistant" for message in request["messages"])
    if turn == 1 and "b'" not in said(request):
        assert "return a - b" in said(request)
    replies = [
        call("shell", command="cat sum.py; exit 3"),
        call("edit", action="replace", path="sum.py", old="a * b", text="a + b"),
        call("edit", action="replace", path="sum.py", old="a - b", text="a + b"),
        call("shell", command="python -c 'import sum; print(sum.add(2, 2))'"),
        call("finish", summary="Added instead of subtracting."),
    ]
    return replies[turn]


def test_the_first_agent_mends_a_program_with_a_model():
    with Server(mending) as server:
        fm = connect(server.model(), backoff=0.001)
        found = attempt(roots.first(), fm=fm, wanted="changes")
    assert (found.failure, found.answer, found.calls) == ("", "Added instead of subtracting.", 5)
    assert diffs.apply(FOLDER, found.changes) == {**FOLDER, "sum.py": b"def add(a, b):\n    return a + b\n"}
    told = [message for line in found.transcript.splitlines() for message in json.loads(line).get("messages", ())]
    results = [message["text"] for message in told if message["role"] == "tool"]
    assert "(exit code 3)" in results[0]
    assert "0 times" in results[1]
    assert results[2:] == ["replaced in sum.py, line 2.", "4\n"]
    assert found.tokens == server.tokens_in + server.tokens_out


def test_the_first_agent_goes_on_when_a_request_is_too_long_for_the_model():
    def model(rng: Any, said: Any) -> Reply:
        if said.number == 12:
            return Reply("done")
        return Reply("", calls=(ToolCall("1", "shell", {"command": "seq 1500"}),))

    found = attempt(roots.first(), model=model, allowance=SMALL._replace(window=6000))
    assert (found.failure, found.answer, found.calls) == ("", "done", 13)
    assert '"kind": "context"' in found.transcript
    assert (
        attempt(roots.first(), model=model, allowance=SMALL._replace(window=200), wanted="changes").failure == "context"
    )


def test_the_first_agent_asks_again_when_the_model_fails_and_then_gives_up():
    with Server(lambda request: fail(400)) as server:
        fm = connect(server.model(), backoff=0.001, retries=0)
        found = attempt(roots.first(), fm=fm, wanted="changes")
    assert (found.failure, found.calls) == ("model", 3)
    assert server.requests == {"400": 3}


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("parameters", "fine"),
    [
        (schema(), True),
        (schema(a={"type": ["string", "null"], "description": "d", "default": None, "minLength": 1}), True),
        (schema(a={"anyOf": [{"type": "string"}, {"type": "array", "items": {"enum": [1, "2"]}}]}), True),
        (schema(a={}) | {"required": ["a"], "additionalProperties": False}, True),
        (schema(a=schema(b={"type": "integer"}) | {"additionalProperties": {"type": "number"}}), True),
        (schema(a=5), False),
        (schema(a={"type": "text"}), False),
        (schema(a={"$ref": "#"}), False),
        (schema() | {"$defs": {"a": {}}}, False),
        (schema(a={"items": []}), False),
        (schema(a={"enum": []}), False),
        (schema(a={"anyOf": {}}), False),
        (schema(a={"description": {}}), False),
        (schema() | {"required": {}}, False),
        (schema() | {"required": [1]}, False),
        (schema() | {"properties": 5}, False),
        (schema() | {"patternProperties": {}}, False),
    ],
)
def test_only_plain_schemas_reach_a_model(parameters, fine):
    assert bool(problem({"messages": [USER], "tools": [{**TOOL, "parameters": parameters}]})) != fine


def test_the_budget_of_a_run_stops_the_first_agent_through_a_client():
    with Server(mending) as server:
        fm = connect(server.model(), backoff=0.001, meter=Budget(Caps(calls=2)))
        with pytest.raises(BudgetExceeded):
            attempt(roots.first(), fm=fm)
    assert server.requests["tool"] == 2


def test_the_first_agents_own_tests_pass():
    files = roots.first()
    assert {"agent.py", "tools.py", "window.py", "README.md", "test_agent.py"} == set(files)

    async def serve(request: Any) -> Any:
        raise AssertionError(request)

    limits = Limits(processes=64)
    words = ["python", "-m", "unittest", "-q"]
    result = asyncio.run(ladder.best().run(words, files=files, serve=serve, limits=limits))
    assert (result.outcome, "Ran 4 tests" in result.stderr) == ("ok", True)
