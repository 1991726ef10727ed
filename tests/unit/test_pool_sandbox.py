"""The pool of confined processes: what programs give, what they cannot do to each other, and that none is lost."""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from aiga.core.errors import UsageError
from aiga.sandbox import bubblewrap, landlock
from aiga.sandbox.launch import Rung
from aiga.sandbox.pool import Pool
from aiga.sandbox.protocol import Limits
from aiga.sandbox.wipe import wipe

SHORT = Limits(seconds=0.3)
ECHO = """
import sys
def main(a, b):
    print("größer \U0001f300", a)
    sys.stderr.write("warn")
    return {"b": [b, 1.5, None]}
"""
FORGE = """
import os

def main(what):
    for fd in range(3, 200):
        try:
            os.write(fd, bytes.fromhex(what))
        except OSError:
            pass
    os._exit(0)
"""
KILL_PARENT = "import os\ndef main(how): os.kill(os.getppid(), how); import time; time.sleep(30)"


def rung(module) -> Rung:
    try:
        return module.rung()
    except UsageError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module", params=[bubblewrap, landlock], ids=["bubblewrap", "landlock"])
def pool(request):
    with Pool(rung(request.param), 2) as pool:
        yield pool


@pytest.fixture(scope="module")
def best():
    """One pool of one worker, for what does not depend on the rung."""
    with Pool(rung(bubblewrap), 1) as pool:
        yield pool


def call(pool, code, *arguments, **options):
    return asyncio.run(pool.call(code, arguments=arguments, **options))


def test_a_function_gets_and_gives_json_and_its_outputs_come_back(best):
    found = call(best, ECHO, "é\ud800", {"x": []})
    assert (found.outcome, found.value, found.code) == ("ok", {"b": [{"x": []}, 1.5, None]}, 0)
    assert found.stdout == "größer \U0001f300 é\\ud800\n"
    assert found.stderr == "warn"
    assert 0 < found.seconds < 5


@pytest.mark.parametrize(
    ("code", "outcome", "number", "words"),
    [
        ("def main(): 1 / 0", "error", 1, 'File "program.py", line 1, in main'),
        ("def main(:", "error", 1, "SyntaxError"),
        ("x = 1", "error", 1, "has no attribute 'main'"),
        ("import sys\ndef main(): sys.exit(3)", "error", 3, ""),
        ("import sys\ndef main(): sys.exit('enough')", "error", 1, "enough\n"),
        ("import os\ndef main(): os._exit(0)", "error", 0, ""),
        ("import os\ndef main(): os.abort()", "killed", -6, ""),
        ("import ctypes\ndef main(): ctypes.string_at(0)", "killed", -11, ""),
        ("def main(): return {1}", "error", 1, "TypeError: the value is no JSON: it holds a set.\n"),
        ("def main(): return 'x' * 300_000", "error", 1, "300002 bytes of JSON; 262144 are allowed"),
        ("def main(): raise RecursionError", "error", 1, "RecursionError"),
        ("def main(): return bytearray(10**9)", "memory", 1, "MemoryError\n"),
    ],
)
def test_how_a_program_ends_is_told(best, code, outcome, number, words):
    found = call(best, code)
    assert (found.outcome, found.code, found.value) == (outcome, number, None)
    assert words in found.stderr


def test_time_is_limited_and_what_was_printed_until_then_is_kept(pool):
    found = call(pool, "import time\ndef main(): print('so far'); time.sleep(60)", limits=SHORT)
    assert (found.outcome, found.code, found.stdout, found.value) == ("timeout", -9, "so far\n", None)
    assert 0.3 <= found.seconds < 60


def test_outputs_are_cut_and_a_program_may_write_more(best):
    code = "import sys\ndef main():\n for name in (sys.stdout, sys.stderr): name.write('x' * 3_000_000)\n return 1"
    found = call(best, code, limits=Limits(output_kb=2))
    assert (found.outcome, len(found.stdout), len(found.stderr)) == ("ok", 2048, 2048)


def test_written_files_are_limited_one_by_one_and_all_together(best):
    one = "def main(): open('a', 'wb').write(bytes(3 << 20))"
    many = "def main():\n for name in range(9): open(str(name), 'wb').write(bytes(300_000))"
    for code, error in ((one, "File too large"), (many, "No space left")):
        found = call(best, code, limits=Limits(files_mb=2))
        assert found.outcome == "error"
        assert error in found.stderr


DIRTY = """
import builtins, json, os, resource, subprocess, sys
def main():
    builtins.open = json.dumps = json.loads = None
    sys.modules["poison"] = json
    os.environ["POISON"] = "1"
    os.makedirs("deep/er")
    for place in (os.environ["TMPDIR"], os.getcwd(), "/tmp", "/dev/shm"):
        try:
            os.makedirs(place + "/json")
            os.close(os.open(place + "/poison.py", os.O_CREAT | os.O_WRONLY))
            os.symlink("/usr", place + "/link")
            os.mkdir(place + "/locked", 0)
        except OSError:
            pass
    for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
        try:
            resource.prlimit(os.getppid(), which, (0, 0))
        except OSError:
            pass
    for attack in (lambda: os.sched_setaffinity(os.getppid(), {0}), lambda: os.setpriority(0, os.getppid(), 19)):
        try:
            attack()
        except OSError:
            pass
    subprocess.Popen(["sleep", "60"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        import time
        time.sleep(60)
"""
LOOK = """
import os, resource, sys
def main():
    found = []
    for place in {os.getcwd(), os.environ["TMPDIR"], os.path.dirname(os.getcwd()), "/tmp", "/dev/shm"} - {OUR_TMP}:
        try:
            found += os.listdir(place)
        except OSError:
            pass
    try:
        programs = [open(f"/proc/{pid}/comm").read() for pid in os.listdir("/proc") if pid.isdigit()]
        others = [name for name in programs if name.startswith("sleep")]
    except OSError:
        others = []
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return [sorted(set(found) - {"home"}), "poison" in sys.modules, "POISON" in os.environ, others, files > 0]
"""


def test_nothing_of_a_program_is_left_for_the_next_one(pool):
    look = LOOK.replace("OUR_TMP", '"/tmp"' if pool.level.startswith("landlock") else "None")
    ours = {*Path(sys.prefix).parts, *Path(__file__).parts}  # seen where aiga or its interpreter lies below /tmp
    with Pool(pool.rung, 1) as one:
        names, *others = call(one, look).value
        assert set(names) <= ours
        assert others == [False, False, [], True]
        assert call(one, DIRTY).outcome == "ok"
        found = call(one, look)
    assert found.value == [names, *others], found.stderr


@pytest.mark.parametrize(
    "what", ["76ffffffff", "7600000001", "3f000000027b7d", "3d000000027b7d", "00", "76000000017d", "3f" + "00" * 90]
)
def test_what_a_program_writes_into_its_pipes_is_at_most_its_own_value(pool, what):
    forged = call(pool, FORGE, what)
    assert forged.outcome == "forged"
    assert forged.value is None
    assert call(pool, "def main(): return 1").value == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_program_that_kills_the_process_it_came_from_is_killed_and_the_next_one_runs(pool, how):
    assert call(pool, KILL_PARENT, int(how)).outcome == "killed"
    assert call(pool, "def main(): return 1").value == 1


def test_a_program_that_stops_the_process_it_came_from_is_ended_from_outside(best, monkeypatch):
    monkeypatch.setattr("aiga.sandbox.pool.LATE", 0.1)
    assert call(best, KILL_PARENT, int(signal.SIGSTOP), limits=SHORT).outcome == "timeout"
    assert call(best, "def main(): return 1").value == 1


def test_a_program_asks_and_its_clock_stands_still(pool):
    async def serve(request):
        await asyncio.sleep(0.3)
        return {"twice": request * 2}

    code = "from broker import ask\ndef main(n): return [ask(i)['twice'] for i in range(n)]"
    found = call(pool, code, 3, serve=serve, limits=Limits(seconds=0.6))
    assert found.value == [0, 2, 4]
    assert found.seconds < 0.6


def test_threads_of_a_program_ask_at_once(best):
    waiting, all_here = set(), asyncio.Event()

    async def serve(request):
        waiting.add(request)
        if len(waiting) == 5:
            all_here.set()
        await all_here.wait()
        return -request

    code = """
from concurrent.futures import ThreadPoolExecutor
from broker import ask
def main():
    with ThreadPoolExecutor(5) as threads:
        return list(threads.map(ask, range(5)))
"""
    assert call(best, code, serve=serve).value == [0, -1, -2, -3, -4]


def test_what_serve_raises_is_raised_to_the_caller_and_ends_the_program(best):
    async def serve(request):
        raise LookupError(request)

    with pytest.raises(LookupError, match="spent"):
        call(best, "from broker import ask\ndef main(): ask('spent')", serve=serve)
    assert call(best, "from broker import ask\ndef main(): ask('spent')").outcome == "error"  # nobody to ask


def test_programs_start_in_the_order_in_which_they_came(best):
    async def order():
        started = []

        async def serve(request):
            started.append(request)

        code = "from broker import ask\ndef main(i): ask(i); return i"
        found = await asyncio.gather(*(best.call(code, arguments=[i], serve=serve) for i in range(20)))
        return started, [result.value for result in found]

    assert asyncio.run(order()) == (list(range(20)), list(range(20)))


def test_cancelling_ends_the_program(best):
    async def cancelled():
        asked = asyncio.Event()

        async def serve(request):
            asked.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(best.call("from broker import ask\ndef main(): ask(1)", serve=serve))
        await asyncio.wait([task, asyncio.create_task(asked.wait())], return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return await best.call("def main(): return 2")

    assert asyncio.run(cancelled()).value == 2


def test_a_pool_serves_loops_in_several_threads(pool):
    found = {}

    def run(name):
        found[name] = [call(pool, "def main(i): return i", i).value for i in range(5)]

    threads = [threading.Thread(target=run, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: list(range(5)) for name in range(3)}


def test_two_hundred_programs_of_all_kinds_are_all_accounted_for(pool):
    kinds = {
        "ok": "def main(): return 1",
        "error": "def main(): raise ValueError",
        "killed": "import os\ndef main(): os.kill(os.getpid(), 9)",
        "memory": "def main(): raise MemoryError",
        "forged": FORGE.replace("what", "what='00'", 1),
    }
    codes = [list(kinds.items())[i % 5] for i in range(200)]

    async def everything():
        return await asyncio.gather(*(pool.call(code) for _, code in codes))

    assert [result.outcome for result in asyncio.run(everything())] == [kind for kind, _ in codes]


def test_a_preloaded_module_is_there_and_arrays_are_values():
    code = """
import sys
early = "numpy" in sys.modules
import numpy as np
def main(): return [early, np.arange(3), np.int64(7)]
"""
    with Pool(rung(bubblewrap), 1, preload=("numpy",)) as pool:
        assert call(pool, code).value == [True, [0, 1, 2], 7]


def test_a_pool_ends_its_processes_and_replaces_them_when_they_are_used_up():
    code = "import os\ndef main(): return open('/proc/self/stat').read().split()[3], os.listdir('/proc')"
    with Pool(rung(bubblewrap), 1, recycle=2) as pool:
        worker = pool._workers[0]
        processes = []
        for _ in range(4):
            assert call(pool, code).outcome == "ok"
            processes.append(worker._process.pid)
        assert processes[0] == processes[1] != processes[2] == processes[3]
    for pid in processes:
        with pytest.raises(ProcessLookupError):  # gone and reaped
            os.kill(pid, 0)
    with pytest.raises(RuntimeError, match="closed"):
        call(pool, code)


def test_a_worker_that_died_while_it_had_nothing_to_do_is_not_the_next_programs_fault():
    with Pool(rung(bubblewrap), 1) as pool:
        assert call(pool, "def main(): return 1").value == 1
        process = pool._workers[0]._process
        process.kill()
        process.wait()
        assert call(pool, "def main(): return 2").value == 2


def test_a_pool_that_cannot_start_says_so(tmp_path):
    broken = bubblewrap.rung()._replace(wrap=lambda argv, *rest, **more: bubblewrap.wrap(["false"], *rest, **more))
    with Pool(broken, 1) as pool, pytest.raises(UsageError, match="does not start; `aiga doctor`"):
        call(pool, "def main(): pass")


def test_folders_are_emptied_however_deep_and_whatever_they_hold(tmp_path):
    kept, folder = tmp_path / "kept", tmp_path / "folder"
    kept.mkdir()
    (kept / "file").touch()
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(50):  # a path longer than any call takes
        os.mkdir("d" * 100, dir_fd=here)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.symlink(kept, "link", dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (folder / "full").mkdir()
    (folder / "full" / "file").touch()
    (folder / "locked").mkdir(mode=0)
    wipe(str(folder))
    assert list(folder.iterdir()) == []
    assert (kept / "file").exists()
