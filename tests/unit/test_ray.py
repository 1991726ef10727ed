"""The pool on Ray; it starts once for all of these tests.  Longer ones are in `make chaos`."""

import asyncio
import os
import time
from importlib.util import find_spec

import numpy as np
import pool_tasks as tasks
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Pool
from aiga.runs import multiprocessing as ours
from aiga.runs.loop import resume, run
from aiga.runs.pools import AnyPool, Late, Lost, Serial
from aiga.runs.ray_pool import Needs, RayPool
from aiga.runs.record import Run
from tests.populations import final_state

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def shared():
    with RayPool(2, retries=1) as pool:
        yield pool


async def collect(results):
    return [result async for result in results]


def test_it_is_a_pool_with_the_same_meaning(shared, tmp_path):
    async def go():
        assert isinstance(shared, Pool)
        assert isinstance(shared, AnyPool)
        assert await collect(shared.map(tasks.square, range(50))) == [n * n for n in range(50)]
        assert sorted(await collect(shared.map(tasks.square, range(9), ordered=False))) == [n * n for n in range(9)]
        error, late, lost, again = await asyncio.gather(
            shared.submit(tasks.divide, 0),
            shared.submit(time.sleep, 60, timeout=0.2),
            shared.submit(tasks.kill_self),
            shared.submit(tasks.die_once, str(tmp_path / "marker")),
            return_exceptions=True,
        )
        assert "return 1 / number" in error.__notes__[0]
        assert (late, lost, again) == (Late("sleep", 0.2), Lost("kill_self", 2, None), "done")

    asyncio.run(go())


def test_a_running_task_is_cancelled_with_its_worker(shared):
    async def go():
        running = [shared.submit(time.sleep, 60) for _ in range(2)]
        await asyncio.sleep(0.2)
        for task in running:
            task.cancel()
        assert await asyncio.wait_for(shared.submit(tasks.square, 3), 20) == 9

    asyncio.run(go())


def test_what_cannot_be_sent_back_is_one_clear_exception(shared):
    async def go():
        with pytest.raises(TypeError, match="the result of `start_nothing`"):
            await shared.submit(tasks.start_nothing)
        assert await shared.submit(lambda: 5) == 5

    asyncio.run(go())


def test_a_big_argument_is_stored_once_for_all_tasks_that_take_it(shared):
    async def go():
        numbers, text = np.arange(50_000.0), os.urandom(200_000)
        numbers.flags.writeable = False
        sums = await collect(shared.map(np.sum, [numbers] * 10))
        sizes = await collect(shared.map(len, [text] * 10))
        assert (set(sums), set(sizes), len(shared._parcels._stored)) == ({1249975000.0}, {200_000}, 2)
        changing = np.zeros(50_000)
        first = shared.submit(np.sum, changing)
        changing += 1
        assert [await first, await shared.submit(np.sum, changing)] == [0.0, 50_000.0]

    asyncio.run(go())


def test_workers_have_what_tasks_need_and_are_pinned_to_it(shared):
    async def go():
        names = ("OMP_NUM_THREADS", "NPROC", "JAX_PLATFORMS")
        assert await shared.submit(tasks.environment, names) == ["1", "1", "cpu"]
        assert await shared.submit(tasks.environment, names, needs=Needs(cpus=2)) == ["2", "2", "cpu"]
        assert await shared.submit(tasks.square, 3) == 9, "the worker that held both CPUs has left"
        with pytest.raises(UsageError, match="a task needs 1 CPUs and 64 GPUs, but this machine's Ray has"):
            shared.submit(tasks.square, 3, needs=Needs(gpus=64))

    asyncio.run(go())


def test_it_listens_on_the_loopback_alone_and_tells_nobody(shared):
    import ray

    assert ray.util.get_node_ip_address() == "127.0.0.1"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_the_facade_shares_queues_pipes_and_managers_with_its_workers(shared, monkeypatch):
    monkeypatch.setenv("AIGA_POOL", "ray")
    shared.resize(1)  # leave a CPU to the façade
    there, back = ours.Queue(), ours.SimpleQueue()
    mine, theirs = ours.Pipe()
    with ours.Manager() as manager, ours.Pool(1, initializer=tasks.open_drawer, initargs=("here",)) as pool:
        assert pool.map(tasks.look_into_drawer, range(3)) == ["here"] * 3
        assert list(pool.imap_unordered(tasks.square, range(5), chunksize=5)) == [0, 1, 4, 9, 16]
        speaks = pool.apply_async(tasks.converse, (there, back, theirs))
        there.put(20)
        assert back.get() == 21
        mine.send("question")
        assert mine.recv() == "question?"
        speaks.get(20)
        with pytest.raises(EOFError):
            mine.recv()
        counts, space = manager.dict(n=0), manager.Namespace()
        space.step = 3
        pool.apply(tasks.add_up, (counts, manager.Lock(), space, None))
        assert counts["n"] == 3
    process = ours.Process(target=tasks.put, args=(there, "done"))
    process.start()
    process.join(30)
    assert (process.exitcode, there.get(timeout=5)) == (0, "done")
    shared.resize(2)


def test_a_run_on_ray_equals_one_on_local_workers_and_is_resumed_on_either(shared, tmp_path):
    toy = os.path.join(os.path.dirname(__file__), "..", "toys", "wander.py")
    local = run(toy, seed=3, steps=4, out=tmp_path / "local", workers=2)
    began = run(toy, seed=3, steps=2, out=tmp_path / "ray", pool="ray", workers="auto")
    assert began.manifest["pool"] == {"kind": "ray", "workers": "auto", "address": None}
    resumed = resume(tmp_path / "ray", steps=4, pool="local", workers=1)
    np.testing.assert_array_equal(resumed.state.position, Run(local.directory).state.position)


LONG = pytest.mark.skipif("AIGA_KILLS" not in os.environ, reason="in `make chaos`")


@pytest.mark.parametrize("system", ["go_explore", pytest.param("poet", marks=LONG)])
def test_the_archive_of_a_population_is_the_same_on_ray(shared, system):
    for one, other in zip(final_state(system, shared), final_state(system, Serial()), strict=True):
        np.testing.assert_array_equal(one, other)
