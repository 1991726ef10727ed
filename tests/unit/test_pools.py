import asyncio
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pool_tasks as tasks
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Pool
from aiga.runs.local_pool import LocalPool, environment
from aiga.runs.pools import AnyPool, Late, Lost, Serial, opened, reopened
from aiga.runs.thread_pool import ThreadPool

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def shared():
    with LocalPool(2) as pool:
        yield pool


@pytest.fixture(params=["serial", "threads", "local"])
def pool(request, shared):
    if request.param == "local":
        yield shared
    else:
        with Serial() if request.param == "serial" else ThreadPool(2) as other:
            yield other


async def collect(results):
    return [result async for result in results]


async def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_all_kinds_are_pools(pool):
    assert isinstance(pool, Pool)
    assert isinstance(pool, AnyPool)


def test_results_come_once_and_in_the_order_of_submission(pool):
    async def run():
        return await asyncio.gather(*(pool.submit(tasks.slow_square, number) for number in range(40)))

    assert asyncio.run(run()) == [number * number for number in range(40)]


def test_map_yields_in_the_order_of_the_items(pool):
    assert asyncio.run(collect(pool.map(tasks.slow_square, range(20)))) == [number * number for number in range(20)]


def test_map_yields_as_they_come_if_order_does_not_matter(pool):
    results = asyncio.run(collect(pool.map(tasks.wait, [0.4, 0.0, 0.0], ordered=False)))
    assert sorted(results) == [0.0, 0.0, 0.4]
    assert results[-1] == 0.4 or pool.workers == 1


def test_a_task_that_is_too_slow_is_a_value_and_the_others_go_on(pool):
    async def run():
        late = pool.submit(tasks.wait, 0.3, timeout=0.1)
        return await asyncio.gather(late, pool.submit(tasks.wait, 0.0, timeout=5))

    assert asyncio.run(run()) == [Late("wait", 0.1), 0.0]
    assert asyncio.run(collect(pool.map(tasks.wait, [0.3, 0.0], timeout=0.1))) == [Late("wait", 0.1), 0.0]


def test_a_task_cannot_end_the_loop_by_what_it_raises(pool):
    async def run():
        return await asyncio.gather(
            pool.submit(tasks.exit_politely), pool.submit(tasks.stop_iteration), return_exceptions=True
        )

    assert [repr(error) for error in asyncio.run(run())] == [
        "RuntimeError('the task raised SystemExit(3)')",
        "RuntimeError('the task raised StopIteration(1)')",
    ]


def test_map_of_nothing_yields_nothing(pool):
    assert asyncio.run(collect(pool.map(tasks.square, []))) == []


def test_an_exception_of_a_task_is_raised_at_its_await_and_the_others_go_on(pool):
    async def run():
        return await asyncio.gather(*(pool.submit(tasks.divide, n) for n in (1, 0, 2)), return_exceptions=True)

    first, error, last = asyncio.run(run())
    assert isinstance(error, ZeroDivisionError)
    assert (first, last) == (1.0, 0.5)


def test_map_takes_at_most_in_flight_items_from_an_endless_source(pool):
    taken = []

    def source():
        for number in itertools.count():
            taken.append(number)
            yield number

    async def run():
        results, ahead = [], []
        async with contextlib.aclosing(pool.map(tasks.square, source(), in_flight=5)) as yielded:
            while len(results) < 50:
                results.append(await anext(yielded))
                ahead.append(len(taken) - len(results))
        assert results == [number**2 for number in range(50)]
        return max(ahead)

    assert asyncio.run(run()) == 4  # of five in flight, one has just been yielded


def test_map_stops_at_the_first_failure_quietly_for_the_rest(pool, caplog):
    with pytest.raises(ZeroDivisionError):
        asyncio.run(collect(pool.map(tasks.divide, [1, 0, 0, 0])))
    assert caplog.records == []


def test_a_pool_serves_two_event_loops_one_after_the_other(pool):
    async def run():
        return await pool.submit(tasks.process_id)

    served = {asyncio.run(run()) for _ in range(8)}
    assert len(served) <= pool.workers, "the workers of the first loop serve the others too"


def test_what_an_ended_loop_left_behind_does_not_reach_the_next(tmp_path):
    marker = str(tmp_path / "marker")

    async def leave_work():
        for number in range(6):
            pool.submit(time.sleep, 0.2)
            pool.submit(tasks.note, marker, number)
        await asyncio.sleep(0.05)

    with LocalPool(2) as pool:
        asyncio.run(leave_work())
        assert asyncio.run(collect(pool.map(tasks.square, range(5)))) == [0, 1, 4, 9, 16]
        assert not Path(marker).exists() or len(Path(marker).read_text().splitlines()) <= 2


def test_the_workers_traceback_is_a_note_of_the_exception(shared):
    async def run():
        await shared.submit(tasks.divide, 0)

    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(run())
    assert "return 1 / number" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("fn", "args", "error", "words"),
    [
        (lambda: None, (), TypeError, "cannot be sent to a worker"),
        (tasks.echo, (lambda: None,), TypeError, "`echo` or its arguments cannot be sent"),
        (tasks.make_function, (), TypeError, r"the result of `make_function` \(function\) cannot be sent back"),
        (tasks.raise_unpicklable, (), RuntimeError, "UnpicklableError: one and two"),
        (tasks.exit_politely, (), RuntimeError, r"the task raised SystemExit\(3\)"),
    ],
    ids=["function", "argument", "result", "exception", "exit"],
)
def test_what_cannot_travel_is_one_clear_exception_and_the_worker_stays(shared, fn, args, error, words):
    async def run():
        before = await shared.submit(tasks.process_id)
        with pytest.raises(error, match=words):
            await shared.submit(fn, *args)
        assert await shared.submit(tasks.process_id) == before

    asyncio.run(run())


def test_large_messages_cross_in_both_directions_without_deadlock(shared):
    blob = os.urandom(1 << 20) * 16

    async def run():
        return await asyncio.gather(*(shared.submit(tasks.echo, blob) for _ in range(2)))

    assert all(echoed == blob for echoed in asyncio.run(run()))


def test_a_cancelled_task_does_not_start_and_a_running_one_is_ended_with_its_worker(tmp_path):
    marker = tmp_path / "marker"

    async def run():
        running = pool.submit(time.sleep, 60)
        waiting = pool.submit(tasks.note, str(marker), "waiting")
        await asyncio.sleep(0.1)
        assert running.cancel()
        assert waiting.cancel()
        return await asyncio.wait_for(pool.submit(tasks.square, 3), 10)

    with LocalPool(1) as pool:
        assert asyncio.run(run()) == 9
    assert not marker.exists()


def test_a_cancelled_task_that_ends_soon_leaves_its_worker_alive(shared):
    async def run():
        before = await shared.submit(tasks.process_id)
        running = shared.submit(time.sleep, 0.02)
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.sleep(0.3)
        assert before in {worker.process.pid for worker in shared._crew}

    asyncio.run(run())


def test_a_cancelled_thread_goes_on_unheard_and_another_takes_its_place():
    async def run():
        release = threading.Event()
        running = pool.submit(release.wait, 30)
        await asyncio.sleep(0.05)
        running.cancel()
        assert await asyncio.wait_for(pool.submit(tasks.square, 3), 5) == 9
        release.set()

    with ThreadPool(1) as pool:
        asyncio.run(run())


def test_threads_share_what_they_are_given_and_need_no_pickle():
    async def run():
        return await asyncio.gather(*(pool.submit(lambda value=value: found.append(value)) for value in range(4)))

    found = []
    with ThreadPool(2) as pool:
        assert asyncio.run(run()) == [None] * 4
    assert sorted(found) == [0, 1, 2, 3]


def test_short_tasks_are_given_several_at_a_time_and_long_ones_singly(shared):
    async def most(fn, items, **how):
        found = 0
        async for _ in shared.map(fn, items, **how):
            found = max(found, *(len(member.table) for member in shared._crew.values()))
        return found

    async def run():
        assert await most(tasks.square, range(400)) > 4
        assert await most(tasks.slow_square, range(30)) <= 2
        assert await most(tasks.wait, [0.02] * 8) == 1
        assert await most(tasks.square, range(40), chunk=1) <= 2
        assert await most(tasks.square, range(40), timeout=5) == 1

    asyncio.run(run())


def test_a_worker_that_dies_with_several_tasks_loses_none_and_only_the_poison_is_given_up():
    async def run():
        results = pool.map(tasks.die_of, [0] * 30 + [1] + [0] * 30, chunk=8, in_flight=64)
        return await collect(results)

    with LocalPool(2, retries=1) as pool:
        results = asyncio.run(run())
    assert results == [0] * 30 + [Lost("die_of", 2, -9)] + [0] * 30


def test_a_worker_that_writes_garbage_to_its_line_is_replaced(tmp_path):
    async def run():
        return await asyncio.gather(pool.submit(tasks.write_to_every_line), pool.submit(tasks.square, 3))

    with LocalPool(2, retries=1) as pool:
        assert asyncio.run(run()) == [Lost("write_to_every_line", 2, -9), 9]


def test_a_huge_result_comes_whole(shared):
    async def run():
        return await shared.submit(bytes, 100_000_000)

    assert asyncio.run(run()) == bytes(100_000_000)


def test_a_pool_grows_and_shrinks_while_tasks_run_and_loses_nothing():
    async def run():
        results, sizes = [], []
        async for result in pool.map(tasks.slow_square, range(90), chunk=1, in_flight=20):
            results.append(result)
            if len(results) in (30, 60):
                pool.resize({30: 4, 60: 1}[len(results)])
            sizes.append(len(pool._crew))
        return results, sizes

    with LocalPool(2) as pool:
        results, sizes = asyncio.run(run())
        with pytest.raises(UsageError, match="at least 1 worker"):
            pool.resize(0)
    assert results == [n * n for n in range(90)]
    assert (sizes[20], max(sizes), sizes[-1]) == (2, 4, 1)


def test_workers_divide_the_devices_among_them(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    places = [environment(seat, 4) for seat in range(4)]
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places] == ["3", "5", "3", "5"]
    assert {place["XLA_PYTHON_CLIENT_MEM_FRACTION"] for place in places} == {"0.375"}
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert environment(0, 4)["CUDA_VISIBLE_DEVICES"] == "3,5"


def test_a_killed_worker_is_replaced_and_its_task_runs_again(shared, tmp_path):
    marker = tmp_path / "marker"

    async def run():
        return await asyncio.gather(shared.submit(tasks.die_once, str(marker)), collect(shared.map(abs, range(20))))

    assert asyncio.run(run()) == ["done", list(range(20))]
    assert len(marker.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("fn", "args", "exitcode"),
    [(tasks.kill_self, (), -9), (tasks.kill_self, (signal.SIGSEGV,), -11), (tasks.leave_with, (7,), 7)],
    ids=["killed", "segfault", "exit"],
)
def test_a_task_that_always_kills_its_worker_is_lost_after_the_cap_and_the_pool_survives(fn, args, exitcode):
    async def run():
        return await asyncio.gather(pool.submit(fn, *args), pool.submit(tasks.square, 3))

    with LocalPool(2, retries=2) as pool:
        assert asyncio.run(run()) == [Lost(fn.__name__, 3, exitcode), 9]


def test_a_dead_worker_is_noticed_although_its_child_lives(tmp_path):
    async def run():
        return await asyncio.wait_for(pool.submit(tasks.leave_a_child_and_die, str(tmp_path / "marker")), 5)

    with LocalPool(1) as pool:
        assert asyncio.run(run()) is None


def test_twenty_kills_at_random_moments_lose_nothing_of_two_hundred_tasks():
    rng = random.Random(0)
    killed = []

    async def kill():
        while len(killed) < 20:
            await asyncio.sleep(rng.uniform(0.0, 0.15))
            worker = rng.choice(list(pool._crew))
            killed.append(worker.process.pid)
            worker.process.kill()

    async def run():
        first = await pool.submit(tasks.square, 3)
        killer = asyncio.create_task(kill())
        results = []
        async for result in pool.map(tasks.slow_square, range(200)):
            results.append(result)
            await wait_for(lambda: len(killed) >= min(20, len(results) // 9))  # spread over the whole
        await killer
        return first, results

    with LocalPool(2, retries=20) as pool:
        assert asyncio.run(run()) == (9, [number * number for number in range(200)])
    assert len(killed) == 20


def test_workers_are_light_single_threaded_and_leave_ctrl_c_to_the_loop(shared):
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
    before = dict(os.environ)

    async def run():
        return await asyncio.gather(
            shared.submit(tasks.modules),
            shared.submit(tasks.environment, variables),
            shared.submit(tasks.ignores_interrupts),
        )

    modules, values, ignored = asyncio.run(run())
    assert {"jax", "numpy", "rich", "asyncio", "multiprocessing"}.isdisjoint(modules)
    assert values == ["1"] * 4
    assert ignored
    assert dict(os.environ) == before


def test_workers_start_when_first_needed():
    async def run():
        assert not pool._crew
        await pool.submit(tasks.square, 1)
        await pool.submit(tasks.square, 1)
        return len(pool._crew)

    with LocalPool(4) as pool:
        assert asyncio.run(run()) == 1


def test_close_ends_the_workers_within_the_grace_and_may_be_repeated():
    async def run():
        busy = pool.submit(time.sleep, 60)
        idle = await pool.submit(tasks.process_id)
        pids = [worker.process.pid for worker in pool._crew]
        begin = time.monotonic()
        pool.close()
        pool.close()
        assert idle in pids
        assert not any(alive(pid) for pid in pids)
        assert time.monotonic() - begin < 3
        with pytest.raises(asyncio.CancelledError):
            await busy
        with pytest.raises(RuntimeError, match="closed"):
            pool.submit(tasks.square, 1)

    pool = LocalPool(2)
    asyncio.run(run())


def test_when_no_process_can_be_started_the_tasks_fail_and_do_not_wait(monkeypatch):
    async def run():
        return await asyncio.wait_for(pool.submit(tasks.square, 3), 5)

    with LocalPool(2) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/nowhere/python")
            with pytest.raises(FileNotFoundError):
                asyncio.run(run())
        assert asyncio.run(run()) == 9


def test_a_second_running_loop_is_refused(shared):
    async def submit():
        await shared.submit(tasks.square, 1)

    async def run():
        await submit()
        with pytest.raises(RuntimeError, match="another running event loop"):
            await asyncio.to_thread(asyncio.run, submit())

    asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("cloud",), "--pool 'cloud' is not available: give one of local, ray, threads"),
        (("local", 0), "--workers is 0"),
        (("local", 2, "auto"), "goes with --pool ray, not --pool local"),
    ],
)
def test_a_pool_that_cannot_be_opened_is_one_sentence(given, words):
    with pytest.raises(UsageError, match=words):
        opened(*given)


def test_a_run_is_resumed_on_the_pool_that_it_had_or_another():
    with reopened({"kind": "local", "workers": 2}, None, None, None) as pool:
        assert (type(pool), pool.workers) == (LocalPool, 2)
    with reopened({"kind": "local", "workers": 2, "address": None}, "threads", None, None) as pool:
        assert (type(pool), pool.workers > 2) == (ThreadPool, True)
    with reopened({}, None, 3, None) as pool:
        assert (type(pool), pool.workers) == (LocalPool, 3)
    with pytest.raises(UsageError, match="--workers is 0"):
        reopened({"kind": "local", "workers": 2}, None, 0, None)


def test_a_chunk_of_nothing_is_refused(shared):
    async def run():
        await shared.submit(tasks.square, 1, chunk=0)

    with pytest.raises(UsageError, match="`chunk` is 0"):
        asyncio.run(run())


@pytest.mark.parametrize(("workers", "retries"), [(0, 3), (-1, 3), (2, -1)])
def test_senseless_sizes_are_refused(workers, retries):
    with pytest.raises(UsageError, match="at least 1 worker"):
        LocalPool(workers, retries)


@pytest.mark.parametrize("workers", [None, "auto"])
def test_the_default_takes_the_cores_of_this_process(workers):
    assert 1 <= LocalPool(workers).workers <= (os.cpu_count() or 1)


PARENT = f"""
import asyncio, os, sys, time
sys.path.insert(0, {HERE!r})
import pool_tasks as tasks
from aiga.runs.local_pool import LocalPool

async def main():
    pool = LocalPool(2)
    pids = await asyncio.gather(pool.submit(tasks.process_id), pool.submit(tasks.process_id))
    print(*(worker.process.pid for worker in pool._crew), flush=True)
    await pool.submit(time.sleep, 60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_no_worker_outlives_a_killed_parent_not_even_a_busy_one(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        parent.kill()
    asyncio.run(wait_for(lambda: not any(alive(pid) for pid in pids)))


SCRIPT = """
import asyncio
from aiga.runs.local_pool import LocalPool

def double(number):
    return 2 * number

async def main():
    with LocalPool(1) as pool:
        print("result", await pool.submit({function}, 3))

{guard}asyncio.run(main())
"""


def run_script(folder, **parts):
    (folder / "script.py").write_text(SCRIPT.format(**parts))
    return subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_function_of_the_users_script_runs_in_a_worker(tmp_path):
    done = run_script(tmp_path, function="double", guard="if __name__ == '__main__': ")
    assert (done.stdout, done.stderr) == ("result 6\n", "")


def test_a_script_without_a_guard_gets_one_sentence(tmp_path):
    done = run_script(tmp_path, function="double", guard="")
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert "put the lines that start the run under `if __name__ == '__main__':`" in last


def test_a_script_whose_tasks_live_in_a_module_needs_no_guard(tmp_path):
    done = run_script(tmp_path, function="abs", guard="")
    assert (done.stdout, done.stderr) == ("result 3\n", "")
