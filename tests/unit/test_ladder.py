"""The rungs of the sandbox: which is chosen, what each asks of the system, and what goes in and comes out."""

import asyncio
import json
import os
import secrets
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from aiga.core.errors import UsageError
from aiga.sandbox import broker, bubblewrap, commands, container, folders, ladder, landlock, launch, seccomp, trial
from aiga.sandbox.protocol import Limits, Sandbox

linux = pytest.mark.skipif(sys.platform != "linux", reason="the rungs are Linux's")
EPERM, ENOSYS, KILL = (seccomp.REFUSE | 1, seccomp.REFUSE | 38, seccomp.KILL)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """Nothing chosen or remembered yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ladder._confined.cache_clear()
    yield tmp_path / "aiga" / "sandbox.json"
    ladder._confined.cache_clear()


def decided(program: bytes, machine: str, number: int, *arguments: int) -> int:
    """What the kernel makes of the filter: its few instructions, interpreted."""
    data = struct.pack("=IIQ6Q", number, seccomp.AUDIT[machine], 0, *arguments, *[0] * (6 - len(arguments)))
    lines, place, value = list(struct.iter_unpack("=HBBI", program)), 0, 0
    while True:
        code, then, other, operand = lines[place]
        place += 1
        if code == seccomp.RETURN:
            return operand
        if code == seccomp.LOAD:
            value = struct.unpack_from("=I", data, operand)[0]
        elif code == seccomp.AND:
            value &= operand
        else:
            assert code in (seccomp.EQUAL, seccomp.AT_LEAST)
            place += then if (value == operand if code == seccomp.EQUAL else value >= operand) else other


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_refuses_what_is_listed_and_looks_at_arguments(monkeypatch, machine, column):
    monkeypatch.setattr("platform.machine", lambda: machine)
    inside, beside = seccomp.contained(), seccomp.exposed(signals=True)

    def of(program, call, *arguments):
        return decided(program, machine, call[column], *arguments)

    for program in (inside, beside):
        assert {of(program, call) for call in seccomp.REFUSED.values() if call[column] is not None} == {EPERM}
        assert {of(program, call) for call in seccomp.ABSENT.values()} == {ENOSYS}
        assert decided(program, machine, seccomp.NEWEST + 1) == ENOSYS
        assert decided(program, machine, seccomp.NEWEST) == seccomp.ALLOW
        assert of(program, seccomp.CLONE, 17) == seccomp.ALLOW
        assert of(program, seccomp.CLONE, 17 | 0x10000000) == EPERM
        assert of(program, seccomp.IOCTL, 0, seccomp.TIOCSTI) == of(program, seccomp.IOCTL, 0, 0x541C) == EPERM
        assert of(program, seccomp.IOCTL, 0, 0x5401) == seccomp.ALLOW
    assert [of(inside, seccomp.SOCKET, family) for family in (1, 2, 10)] == [seccomp.ALLOW] * 3
    assert of(inside, seccomp.SOCKET, 16) == of(beside, seccomp.SOCKET, 1) == EPERM
    assert of(beside, seccomp.OPENAT, 0, 0, seccomp.TRUNCATE) == EPERM
    assert of(beside, seccomp.OPENAT, 0, 0, seccomp.TRUNCATE | os.O_WRONLY) == seccomp.ALLOW
    assert of(beside, seccomp.PRLIMIT, 1) == EPERM
    assert of(beside, seccomp.SIGNALS["kill"]) == seccomp.ALLOW
    silent = seccomp.exposed(signals=False)
    assert of(silent, seccomp.SIGNALS["kill"]) == of(silent, seccomp.TGKILL, 1) == EPERM
    assert of(silent, seccomp.TGKILL, seccomp.SELF) == seccomp.ALLOW


def test_a_call_in_another_architectures_numbers_kills(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    program = seccomp.contained()
    assert decided(program, "aarch64", 0) == KILL
    assert decided(program, "x86_64", seccomp.X32 + 1) == KILL
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UsageError, match="no system-call filter for riscv64; x86_64 and aarch64 have one"):
        seccomp.contained()


@linux
def test_the_best_sandbox_is_one_and_its_self_test_is_remembered(fresh, monkeypatch):
    monkeypatch.delenv(ladder.VARIABLE, raising=False)
    found = ladder.best()
    assert isinstance(found, Sandbox)
    assert list(json.loads(fresh.read_text())) == [found.level]
    assert ladder.best() is found
    monkeypatch.setattr(trial, "escapes", lambda rung: ["network"])  # would be noticed, if it were asked again
    ladder._confined.cache_clear()
    assert ladder.best().level == found.level
    assert not any(finding.rung for finding in ladder.examine("", afresh=True))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", r"no sandbox holds programs here \(AIGA_SANDBOX=none\): install bubblewrap .*--unsafe-no-sandbox"),
        ("moon", "AIGA_SANDBOX=moon is no sandbox; these are: bubblewrap, landlock, docker:IMAGE, podman:IMAGE, none"),
        ("docker", "a container is named docker:IMAGE or podman:IMAGE, not 'docker'"),
    ],
)
def test_without_a_sandbox_one_sentence_says_what_to_do(fresh, monkeypatch, name, words):
    monkeypatch.setenv(ladder.VARIABLE, name)
    with pytest.raises(UsageError, match=words):
        ladder.best()


@linux
def test_a_machine_without_bubblewrap_uses_landlock(fresh, monkeypatch, tmp_path):
    if landlock.version() == 0:
        pytest.skip("no Landlock")
    monkeypatch.delenv(ladder.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [(finding.name, finding.fault) for finding in ladder.examine("")] == [
        ("bubblewrap", "no `bwrap`: apt install bubblewrap (or dnf, pacman)"),
        ("landlock", ""),
    ]


def test_a_container_has_no_network_no_privileges_and_limits(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    rung = container.rung("podman:python:3.13")
    limits = Limits(seconds=3, memory_mb=100, files_mb=5, processes=7)
    with rung.wrap(["python", "-c", "1"], tmp_path, limits, readable=[Path("/opt/shown")]) as start:
        words = " ".join(start.argv)
    assert words.startswith("podman run --rm --interactive --name aiga-")
    assert words.endswith(" python:3.13 python -c 1")
    for asked in (
        "--network none --read-only --cap-drop ALL --security-opt no-new-privileges",
        f"--user {tmp_path.stat().st_uid}:{tmp_path.stat().st_gid} --pids-limit 7",
        "--memory 100m --memory-swap 100m --ulimit cpu=4",
        "--ulimit fsize=5242880 --ulimit nofile=128 --ulimit core=0",
        f"--volume {tmp_path}:/box",
        "--volume /opt/shown:/opt/shown:ro",
    ):
        assert f" {asked} " in words
    assert start.undo == ("podman", "kill", start.argv[start.argv.index("--name") + 1])
    with pytest.raises(UsageError, match="cannot ask questions"), rung.wrap(["x"], tmp_path, limits, pass_fds=[3]):
        pass


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "..", "", "a/..", "x\0y"])
def test_files_stay_inside_their_folder(tmp_path, name):
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(UsageError, match="names stay inside its folder"):
        folders.fill(inner, {name: "planted"})
    assert list(tmp_path.rglob("*")) == [inner]


def test_links_that_a_program_left_are_replaced_not_followed(tmp_path):
    inner, outside = tmp_path / "inner", tmp_path / "outside"
    inner.mkdir()
    outside.mkdir()
    (outside / "file").write_text("as it was")
    (inner / "link").symlink_to(outside / "file")
    (inner / "folder").symlink_to(outside)
    os.mkfifo(inner / "pipe")
    folders.fill(inner, {"link": "new", "folder/file": b"new", "pipe": "new"})
    assert (outside / "file").read_text() == "as it was"
    assert folders.collect(inner, ["*"], 100) == {"link": b"new", "folder/file": b"new", "pipe": b"new"}
    with pytest.raises(UsageError, match="cannot be named 'folder', as a folder is"):
        folders.fill(inner, {"folder": "new"})


def test_files_come_back_by_their_names_until_there_are_too_many_bytes(tmp_path):
    folders.fill(tmp_path, {"a.txt": "12345", "b.txt": "1234567", "c.txt": "123", "d.log": "1", "e/f.txt": "12"})
    assert set(folders.collect(tmp_path, ["*.txt"], 10)) == {"a.txt", "c.txt", "e/f.txt"}
    assert set(folders.collect(tmp_path, ["d.*", "a.txt"], 10)) == {"a.txt", "d.log"}
    assert folders.collect(tmp_path, [], 10) == {}


def test_a_folder_is_full_by_bytes_by_entries_and_by_depth(tmp_path):
    assert not folders.full(tmp_path, 1)
    for number in range(10):
        (tmp_path / str(number)).touch()
    assert not folders.full(tmp_path, 10 * folders.ENTRY)
    assert folders.full(tmp_path, 10 * folders.ENTRY - 1)
    (tmp_path / "large").write_bytes(os.urandom(100_000))
    assert folders.full(tmp_path, 100_000)
    tmp_path.joinpath(*["deep"] * (folders.DEPTH + 2)).mkdir(parents=True)
    assert folders.full(tmp_path, 10**9)


@pytest.mark.parametrize(
    ("reason", "code", "err", "outcome"),
    [
        ("", 0, "", "ok"),
        ("", 3, "", "error"),
        ("", 255, "", "error"),
        ("", 137, "", "killed"),
        ("", -9, "", "killed"),
        ("", 1, "MemoryError\n", "memory"),
        ("", 152, "", "timeout"),  # 128 + SIGXCPU
        ("timeout", 0, "", "timeout"),
        ("forged", 0, "", "forged"),
        ("more than 1 kB of output", 0, "", "killed"),
    ],
)
def test_outcomes_have_names(reason, code, err, outcome):
    assert commands.judge(reason, code, "", err).outcome == outcome


def usable(name: str) -> launch.Rung:
    try:
        rung = ladder.RUNGS[name]()
    except UsageError as error:
        pytest.skip(str(error))
    if faults := trial.escapes(rung):
        pytest.skip(f"{faults}")
    return rung


ASK = """
from broker import ask
found = [ask({"number": n})["double"] for n in range(3)]
open("answer.json", "w").write(str(found))
"""


@linux
@pytest.mark.parametrize("name", ladder.RUNGS)
def test_a_command_asks_and_its_files_come_back(name):
    async def serve(question):
        return {"double": 2 * question["number"]}

    async def refuse(question):
        raise ValueError("never")

    rung = usable(name)
    argv = ["python", "main.py"]
    result = asyncio.run(commands.run(rung, argv, files={"main.py": ASK}, collect=["*.json"], serve=serve))
    assert (result.outcome, result.files) == ("ok", {"answer.json": b"[0, 2, 4]"})
    with pytest.raises(ValueError, match="never"):
        asyncio.run(commands.run(rung, argv, files={"main.py": ASK}, serve=refuse))


@linux
@pytest.mark.parametrize("name", ladder.RUNGS)
def test_the_clock_stands_while_we_answer_and_bad_questions_are_forged(name):
    async def slow(question):
        await asyncio.sleep(1)  # more than all its time
        return {"double": 0}

    rung, brief = usable(name), Limits(seconds=0.8)
    once = "from broker import ask\nask(1)"
    assert asyncio.run(commands.run(rung, ["python", "-c", once], files={}, limits=brief, serve=slow)).outcome == "ok"
    forge = "import os\nos.write(int(os.environ['AIGA_BROKER'].split(',')[1]), b'x' * 100)\nimport time\ntime.sleep(60)"
    assert asyncio.run(commands.run(rung, ["python", "-c", forge], files={}, serve=slow)).outcome == "forged"


@linux
@pytest.mark.parametrize("name", ladder.RUNGS)
def test_a_program_cannot_leave_us_with_more_questions_than_are_allowed(name):
    flood = """
import json, os, struct
_, questions = map(int, os.environ["AIGA_BROKER"].split(","))
for number in range(1000):
    payload = struct.pack(">I", number) + json.dumps("x" * 1000).encode()
    os.write(questions, struct.pack(">cI", b"?", len(payload)) + payload)
"""
    asked = []

    async def never(question):
        asked.append(question)
        await asyncio.sleep(60)

    result = asyncio.run(commands.run(usable(name), ["python", "-c", flood], files={}, serve=never))
    assert (result.outcome, len(asked) <= broker.MOST_OPEN) == ("forged", True)


@linux
@pytest.mark.parametrize("name", ladder.RUNGS)
def test_our_own_package_is_hidden_where_the_interpreters_folders_hold_it(name, monkeypatch):
    site = Path(pytest.__file__).resolve().parents[1]
    monkeypatch.setattr(launch, "HIDDEN", (site / "_pytest",))
    code = f"""
import os
import pluggy  # beside it
shown = []
for place in ({str(site)!r}, *[path for path in __import__("sys").path if path.endswith("site-packages")]):
    try:
        shown.append(open(os.path.join(place, "_pytest", "__init__.py")).read())
    except OSError:
        pass
print(len(shown))
"""
    result = asyncio.run(commands.run(usable(name), ["python", "-c", code], files={}))
    assert (result.outcome, result.stdout, result.stderr) == ("ok", "0\n", "")


@linux
@pytest.mark.parametrize("name", ladder.RUNGS)
def test_to_cancel_a_command_is_to_end_all_it_started(name):
    rung, token = usable(name), f"aiga-cancel-{secrets.token_hex(8)}"
    code = "import os, time\nos.fork()\nopen('started', 'w')\ntime.sleep(1000)"

    async def main():
        with launch.private_folder() as folder:
            running = asyncio.create_task(commands.execute(rung, ["python", "-c", code, token], folder))
            while not (folder / "started").exists():
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.wait([running])
            return running.cancelled()

    assert asyncio.run(main())
    assert token not in "".join(path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline"))


@linux
def test_where_landlock_stops_no_signals_the_filter_does(monkeypatch):
    rung = usable("landlock")
    monkeypatch.setattr(landlock, "_signals_stay", lambda found: False)
    code = """
import os, signal
for attempt in (lambda: os.kill(os.getppid(), 0), lambda: os.kill(-1, 0), lambda: os.kill(os.getpid(), 0)):
    try:
        attempt()
        print("sent")
    except PermissionError:
        print("refused")
os.abort()
"""
    result = asyncio.run(commands.run(rung, ["python", "-u", "-c", code], files={}))
    assert (result.stdout.split(), result.code) == (["refused"] * 3, -6)


@linux
def test_without_a_sandbox_limits_are_kept_and_daemons_end():
    sandbox, token = ladder.unsafe(), f"aiga-unsafe-{secrets.token_hex(8)}"
    code = "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(1000)\n os._exit(0)"
    result = asyncio.run(sandbox.run(["python", "-c", code, token], files={}))
    assert (sandbox.level, result.outcome) == ("none", "ok")
    assert token not in "".join(path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline"))
    eat = "bytearray(10**9)"
    assert asyncio.run(sandbox.run(["python", "-c", eat], files={})).outcome == "memory"


@linux
def test_roots_programs_are_a_user_of_their_own():
    if os.getuid() != 0:
        pytest.skip("root only")
    rung = usable("bubblewrap")
    results = [asyncio.run(commands.run(rung, ["id", "-u"], files={})) for _ in range(2)]
    assert len({"0", *(result.stdout.strip() for result in results)}) == 3
    assert rung.level == bubblewrap.rung().level


@linux
def test_folders_of_killed_processes_are_removed_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = "import os, sys, tempfile; from aiga.sandbox import launch; tempfile.tempdir = sys.argv[1]\n"
    code += "with launch.private_folder() as folder:\n    (folder / 'left').touch(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (tmp_path / f"{launch.PREFIX}mine").mkdir()
    with launch.private_folder() as living:
        assert len(list(tmp_path.iterdir())) == 3
        launch.sweep()
        assert set(tmp_path.iterdir()) == {living, tmp_path / f"{launch.PREFIX}mine"}
