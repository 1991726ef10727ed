"""Programs that try to leave the sandbox, on each rung that this machine has: all of them are held."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import hostile
import pytest

from aiga.core.errors import UsageError
from aiga.sandbox import bubblewrap, commands, landlock, launch, trial
from aiga.sandbox.protocol import Limits, Result

SMALL = Limits(seconds=5, memory_mb=256, files_mb=2, processes=8, output_kb=64)
SHORT = SMALL._replace(seconds=0.4)
RUNGS = {"bubblewrap": bubblewrap.rung, "landlock": landlock.rung}


class Program(NamedTuple):
    """A program and how it has to end; `{token}` marks its processes."""

    code: str
    outcomes: tuple[str, ...]
    limits: Limits = SMALL
    collect: tuple[str, ...] = ()


FOREVER = "import time\nwhile True: time.sleep(60)"
DAEMON = """
import os, time
for _ in range(2):
    if os.fork():
        os._exit(0)
    os.setsid()
"""
PROGRAMS = {
    "a memory bomb": Program("found = []\nwhile True: found.append(bytearray(10**7))", ("memory",)),
    "a fork bomb": Program("import os\nwhile True:\n try: os.fork()\n except OSError: pass", ("timeout",), SHORT),
    "a shell's fork bomb": Program(
        "import os\nos.execvp('sh', ['sh', '-c', 'f() { f | f & }; f; sleep 60', '{token}'])",
        ("timeout", "killed", "error"),
        SHORT,
    ),
    "a large file": Program("open('x', 'wb').write(bytes(10**8))", ("error", "killed")),
    "many large files": Program(
        "import itertools\nfor n in itertools.count(): open(f'x{n}', 'wb').write(bytes(10**6))", ("killed",)
    ),
    "many empty files": Program(
        "import itertools\nfor n in itertools.count(): open(f'x{n}', 'w')",
        ("killed", "timeout"),
        SMALL._replace(seconds=2, files_mb=1),
    ),
    "deep folders": Program("import os\nwhile True:\n os.mkdir('x')\n os.chdir('x')", ("killed", "error")),
    "a locked folder": Program(
        "import os\nos.mkdir('x')\nopen('x/y', 'w')\nif os.path.ismount('/box'): os.chmod('x', 0)", ("ok", "killed")
    ),
    "a flood of output": Program("while True: print('x' * 1000)", ("killed",)),
    "a flood of errors": Program("import os\nwhile True: os.write(2, b'x' * 1000)", ("killed",)),
    "a line without end": Program("import sys\nsys.stdout.write('x' * 10**7)", ("killed",)),
    "a sleep without end": Program(FOREVER, ("timeout",), SHORT),
    "a loop without end": Program("while True: pass", ("timeout",), SHORT),
    "a time bomb": Program("import time\ntime.sleep(1)\nopen('exploded', 'w')", ("timeout",), SHORT, ("*",)),
    "signals ignored": Program(
        f"import signal\nfor n in {{*signal.Signals}} - {{9, 19}}: signal.signal(n, signal.SIG_IGN)\n{FOREVER}",
        ("timeout",),
        SHORT,
    ),
    "a stopped process": Program("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", ("timeout",), SHORT),
    "outputs closed": Program(f"import os\nos.close(1)\nos.close(2)\n{FOREVER}", ("timeout",), SHORT),
    "a daemon": Program(DAEMON + "os.close(1)\nos.close(2)\n" + FOREVER, ("ok",)),
    "a daemon that holds the outputs": Program(DAEMON + FOREVER, ("ok",)),
    "a daemon that moves on": Program(DAEMON + "while True:\n if os.fork(): os._exit(0)\n time.sleep(0.0005)", ("ok",)),
    "a thousand recursions too many": Program(
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return [f(x) for _ in x]\nf([0])",
        ("killed", "memory", "error", "timeout"),
        SHORT,
    ),
    "a crash": Program("import os\nos.abort()", ("killed",), SMALL, ("*",)),
    "a bad address": Program("import ctypes\nctypes.string_at(0)", ("killed",), SMALL, ("*",)),
    "a signal to everybody": Program("import os\nos.kill(-1, 9)", ("ok", "killed", "error")),
    "a signal to its group": Program("import os\nos.killpg(0, 9)", ("killed",)),
    "a strange exit code": Program("import os\nos._exit(255)", ("error",)),
    "words like ours": Program(
        """import sys\nsys.stdout.buffer.write(b'=\\0\\0\\0\\x10{"outcome":"ok"}')\nprint('{"value": 1}')""",
        ("ok",),
    ),
    "output that is no text": Program("import os\nos.write(1, bytes(range(256)))", ("ok",)),
    "strange files": Program(
        """
import contextlib, os, socket
names = ["plain", "sub/plain", "\\u202egnp.exe", "\\n", "-rf", "..hidden", "a" * 255, os.fsdecode(b"\\xff")]
os.mkdir("sub")
for name in names:
    open(name, "w").write("own")
os.symlink("/etc/passwd", "link")
os.symlink("{secret}", "secret")
os.symlink("{folder}", "folder")
os.symlink("sub", "inner")
os.symlink("loop", "loop")
os.link("plain", "hard")
os.mkfifo("pipe")
with contextlib.suppress(OSError):
    socket.socket(socket.AF_UNIX).bind("socket")
with contextlib.suppress(OSError):
    os.mknod("device", 0o20666, os.makedev(1, 3))
open("large", "wb").truncate(2 * 2**20)
""",
        ("ok",),
        SMALL,
        ("*",),
    ),
}


CHANGE = """
import ctypes, json, os, sys
folder, changes = sys.argv[1], []
path = folder + "/file"
text = open(path).read()
attempts = {
    "write": lambda: open(path, "w"),
    "append": lambda: open(path, "r+"),
    "truncate": lambda: os.truncate(path, 0),
    "open and truncate": lambda: os.open(path, os.O_RDONLY | os.O_TRUNC),
    "chmod": lambda: os.chmod(path, 0o777),
    "fchmod": lambda: os.chmod(os.open(path, os.O_RDONLY), 0o777),
    "chown": lambda: os.chown(path, os.getuid(), -1),
    "utime": lambda: os.utime(path),
    "setxattr": lambda: os.setxattr(path, "user.x", b"x"),
    "unlink": lambda: os.unlink(path),
    "rename": lambda: os.rename(path, folder + "/other"),
    "take away": lambda: os.rename(path, "other"),
    "link": lambda: os.link(path, "other"),
    "create": lambda: open(folder + "/new", "x"),
    "make a folder": lambda: os.mkdir(folder + "/new"),
}
for name, attempt in attempts.items():
    try:
        attempt()
        changes.append(name)
    except OSError:
        pass
print(json.dumps({"file": text, "changes": changes}))
"""


class Host:
    """What there is to be reached, and whether it was."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o777)
        self.folder, self.token = folder, f"aiga-hostile-{secrets.token_hex(8)}"
        self.secret = folder / "secret"
        self.secret.write_text("the secret")
        self.secret.chmod(0o666)
        os.utime(self.secret, (10**9, 10**9))
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix, self.abstract = (socket.socket(socket.AF_UNIX) for _ in range(2))
        self.unix.bind(str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        self.abstract.bind(f"\0{self.token}")
        self.sockets = (self.tcp, self.unix, self.abstract, self.udp)
        for server in self.sockets:
            server.setblocking(False)
        for server in self.sockets[:3]:
            server.listen()
        self.victim = subprocess.Popen(["sleep", "1000"])

    def facts(self) -> dict[str, Any]:
        """For the attempts."""
        ports = {"tcp": self.tcp.getsockname()[1], "udp": self.udp.getsockname()[1]}
        places = {"secret": str(self.secret), "folder": str(self.folder), "socket": str(self.folder / "socket")}
        names = {"abstract": self.token, "token": self.token, "home": str(Path.home())}
        processes = {"pid": os.getpid(), "victim": self.victim.pid, "sources": str(Path(__file__).parents[2])}
        return ports | places | names | processes | SMALL._asdict()

    def touched(self) -> list[str]:
        """Everything that has changed."""
        facts = self.secret.stat()
        found = [f"{server} was reached" for server in self.sockets if self.reached(server)]
        found += [name for name in os.listdir(self.folder) if name not in ("secret", "socket")]
        places = [Path(place, self.token) for place in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/")]
        found += [str(place) for place in places if place.exists()]
        if (self.secret.read_text(), facts.st_mode & 0o777, facts.st_mtime) != ("the secret", 0o666, 10**9):
            found.append("the secret has changed")
        if self.victim.poll() is not None:
            found.append("a process of ours was killed")
        return found

    def reached(self, server: socket.socket) -> bool:
        try:
            server.recv(1) if server is self.udp else server.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def survivors(self) -> list[str]:
        """Processes that carry the token."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if self.token.encode() in path.read_bytes():
                    found.append(path.parent.name)
        return found

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for server in self.sockets:
            server.close()


class Seen(NamedTuple):
    """What came of everything on one rung."""

    attempts: dict[str, str]
    programs: dict[str, Result]
    touched: list[str]
    survivors: list[str]


def started(name: str) -> launch.Rung:
    """The rung, if it starts here; whether it holds is what is tested."""
    try:
        rung = RUNGS[name]()
    except UsageError as error:
        pytest.skip(str(error))
    faults = trial.escapes(rung)
    if any("did not run" in fault for fault in faults):
        pytest.skip(f"{name} does not start: {faults}")
    assert faults == []
    return rung


@pytest.fixture(scope="module", params=RUNGS)
def seen(request, tmp_path_factory):
    rung = started(request.param)
    with pytest.MonkeyPatch.context() as patch, contextlib.closing(Host(tmp_path_factory.mktemp("host"))) as host:
        patch.setenv("OPENAI_API_KEY", "canary")
        attempts, programs = asyncio.run(everything(rung, host))
        yield Seen(attempts, programs, host.touched(), host.survivors())


async def everything(rung: launch.Rung, host: Host) -> tuple[dict[str, str], dict[str, Result]]:
    """All attempts in one program, and then all programs, a few at a time."""
    source = {"hostile.py": Path(hostile.__file__).read_text()}
    command = ["python", "hostile.py", json.dumps(host.facts()), host.token]
    tried = await commands.run(rung, command, files=source, limits=SMALL)
    assert tried.outcome == "ok", tried
    room = asyncio.Semaphore(4)

    async def run(program: Program) -> Result:
        facts = {"token": host.token, "secret": str(host.secret), "folder": str(host.folder)}
        code = program.code
        for name, value in facts.items():
            code = code.replace(f"{{{name}}}", value)
        async with room:
            command = ["python", "-I", "-S", "main.py", host.token]
            return await commands.run(
                rung, command, files={"main.py": code}, limits=program.limits, collect=program.collect
            )

    results = await asyncio.gather(*map(run, PROGRAMS.values()))
    return json.loads(tried.stdout), dict(zip(PROGRAMS, results, strict=True))


@pytest.mark.parametrize("attempt", hostile.attempts())
def test_an_attempt_is_refused(seen, attempt):
    assert not seen.attempts[attempt]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_ended(seen, name):
    assert seen.programs[name].outcome in PROGRAMS[name].outcomes, seen.programs[name]


def test_the_host_is_as_it_was(seen):
    assert seen.touched == []


def test_no_process_is_left(seen):
    assert seen.survivors == []


def test_outputs_are_cut_where_they_are_too_long(seen):
    for name in ("a flood of output", "a flood of errors", "a line without end"):
        result = seen.programs[name]
        assert SMALL.output_kb << 10 <= len(result.stdout + result.stderr) < (SMALL.output_kb << 10) + 100
        assert "ended by the sandbox: more than 64 kB of output" in result.stderr


def test_what_looks_like_our_words_stays_the_programs_output(seen):
    result = seen.programs["words like ours"]
    assert result.value is None
    assert result.stdout.endswith('{"value": 1}\n')


def test_only_plain_files_with_one_name_come_back(seen):
    files = seen.programs["strange files"].files
    assert set(files) == {"main.py", "sub/plain", "-rf", "..hidden", "a" * 255}
    assert files["sub/plain"] == b"own"


def test_what_may_be_read_cannot_be_changed(tmp_path):
    for name in RUNGS:
        rung = started(name)
        shown = tmp_path / name
        shown.mkdir()
        (shown / "file").write_text("as it was")
        for path, mode in ((tmp_path.parents[0], 0o755), (tmp_path, 0o755), (shown, 0o777), (shown / "file", 0o666)):
            path.chmod(mode)
        with (
            launch.private_folder() as folder,
            rung.wrap(["python", "-c", CHANGE, str(shown)], folder, SMALL, readable=[shown]) as start,
        ):
            done = subprocess.run(start.argv, **start.options, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == {"file": "as it was", "changes": []}
        assert [path.name for path in shown.iterdir()] == ["file"]
        assert (shown / "file").read_text() == "as it was"


def test_a_crash_leaves_no_memory_image(seen):
    assert set(seen.programs["a crash"].files) == set(seen.programs["a bad address"].files) == {"main.py"}
    assert set(seen.programs["a time bomb"].files) == {"main.py"}
