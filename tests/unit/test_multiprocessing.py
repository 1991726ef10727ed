"""The façade against the standard library: the same scripts, the same answers."""

import multiprocessing as standard
import operator
import os
import queue
import subprocess
import sys
import textwrap
import time
from functools import partial

import pool_tasks as tasks
import pytest

from aiga.core.errors import UsageError
from aiga.runs import multiprocessing as ours

KINDS = {
    "standard": standard.get_context("spawn"),
    "local": ours,
    "threads": ours,
}


@pytest.fixture(params=KINDS, scope="module")
def place(request):
    """The module, and the keywords that say where its pool runs."""
    return KINDS[request.param], {} if request.param == "standard" else {"pool": request.param}


@pytest.fixture(scope="module")
def pool(place):
    module, where = place
    with module.Pool(2, **where) as made:
        yield made


def test_a_task_that_cannot_be_sent_is_called_by_its_own_name():
    with ours.Pool(1, pool="local") as made, pytest.raises(TypeError, match=r"`.*<lambda>` or its arguments cannot be"):
        made.map(lambda n: n, range(3))


def test_map_and_starmap_keep_the_order(pool):
    assert pool.map(tasks.square, range(50)) == [n * n for n in range(50)]
    assert pool.map(tasks.square, iter(range(7)), chunksize=3) == [n * n for n in range(7)]
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert pool.map(tasks.square, []) == []


def test_apply_takes_arguments_by_name(pool):
    assert pool.apply(int, ("ff",), {"base": 16}) == 255
    assert pool.apply_async(int, ("11",), {"base": 2}).get(10) == 3


def test_imap_yields_in_order_and_its_sister_as_they_come(pool):
    assert list(pool.imap(tasks.square, range(20))) == [n * n for n in range(20)]
    assert list(pool.imap(tasks.square, range(20), chunksize=6)) == [n * n for n in range(20)]
    assert sorted(pool.imap_unordered(tasks.square, range(20), 3)) == [n * n for n in range(20)]
    first = pool.imap_unordered(tasks.wait, [0.6, 0.0])
    assert [first.next(10), first.next(10)] == [0.0, 0.6]


def test_a_timeout_is_the_standard_librarys(pool):
    slow = pool.apply_async(time.sleep, (0.5,))
    with pytest.raises(standard.TimeoutError):
        slow.get(0.01)
    assert not slow.ready()
    with pytest.raises(ValueError, match="not ready"):
        slow.successful()
    later = pool.imap(tasks.wait, [0.4])
    with pytest.raises(standard.TimeoutError):
        later.next(0.01)
    assert later.next(10) == 0.4
    slow.wait(10)
    assert slow.successful()


def test_exceptions_come_where_results_are_fetched(pool):
    with pytest.raises(ZeroDivisionError):
        pool.map(tasks.divide, [1, 0, 2])
    failed = pool.map_async(tasks.divide, [0])
    failed.wait(10)
    assert not failed.successful()
    results = pool.imap(tasks.divide, [1, 0, 2])
    assert next(results) == 1.0
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert next(results) == 0.5
    with pytest.raises(StopIteration):
        next(results)


def test_callbacks_are_told_of_results_and_of_errors(pool):
    told = []
    pool.map_async(tasks.square, [1, 2], callback=told.append).get(10)
    pool.starmap_async(pow, [(2, 2)], callback=told.append).get(10)
    with pytest.raises(ZeroDivisionError):
        pool.apply_async(tasks.divide, (0,), callback=told.append, error_callback=lambda e: told.append(type(e))).get(
            10
        )
    assert told == [[1, 4], [4], ZeroDivisionError]


def test_an_iterable_that_fails_is_heard_of(pool):
    def items():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError):
        list(pool.imap(tasks.square, items()))


def test_a_closed_pool_finishes_what_it_has_and_takes_no_more(place):
    module, where = place
    pool = module.Pool(1, initializer=tasks.open_drawer, initargs=("here",), **where)
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    later = pool.map_async(tasks.look_into_drawer, range(3))
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.map(tasks.square, [1])
    pool.join()
    assert later.get(1) == ["here"] * 3


def test_what_the_standard_library_refuses_is_refused(place):
    module, where = place
    with pytest.raises(ValueError, match="at least 1"):
        module.Pool(0, **where)
    with pytest.raises(TypeError, match="callable"):
        module.Pool(1, initializer=3, **where)


@pytest.mark.parametrize("module", [standard.get_context("spawn"), ours], ids=["standard", "local"])
def test_managers_queues_and_workers_share(module):
    with module.Manager() as manager, module.Pool(2) as pool:
        counts, results, lock, space = manager.dict(n=0), manager.list(), manager.Lock(), manager.Namespace()
        space.step = 5
        pool.map(partial(tasks.add_up, counts, lock, space), range(4))
        assert counts["n"] == 20
        items = manager.Queue()
        pool.starmap(tasks.put, [(items, 1), (items, 2)])
        assert sorted([items.get(timeout=5), items.get(timeout=5)]) == [1, 2]
        results.append(1)
        assert list(results) == [1]


@pytest.mark.parametrize("module", [standard.get_context("spawn"), ours], ids=["standard", "local"])
def test_processes_talk_through_queues_and_pipes(module):
    there, back = module.Queue(), module.SimpleQueue()
    mine, theirs = module.Pipe()
    process = module.Process(target=tasks.converse, args=(there, back, theirs), name="speaker")
    process.start()
    theirs.close()
    there.put(20)
    assert back.get() == 21
    mine.send("question")
    assert mine.poll(10)
    assert mine.recv() == "question?"
    process.join(10)
    assert (process.exitcode, process.is_alive(), process.name) == (0, False, "speaker")
    assert there.empty()
    with pytest.raises(queue.Empty):
        there.get(timeout=0.01)
    with pytest.raises(EOFError):
        mine.recv()
    there.close()
    there.join_thread()


@pytest.mark.parametrize("module", [standard.get_context("spawn"), ours], ids=["standard", "local"])
def test_a_process_can_be_ended(module):
    process = module.Process(target=time.sleep, args=(60,), daemon=True)
    process.start()
    assert process.is_alive()
    process.terminate()
    process.join(10)
    assert process.exitcode == -15


def test_a_pool_grows_and_shrinks_while_it_works_and_loses_nothing():
    with ours.Pool(1) as pool:
        results = pool.imap(tasks.slow_square, range(120))
        found = [next(results) for _ in range(10)]
        pool.resize(4)
        found += [next(results) for _ in range(50)]
        assert len(pool._pool._crew) > 1
        pool.resize(1)
        assert found + list(results) == [n * n for n in range(120)]
        assert len(pool._pool._crew) == 1


def test_a_killed_worker_is_replaced_where_the_standard_library_waits_for_ever(tmp_path):
    with ours.Pool(2) as pool:
        assert pool.map(tasks.die_once, [str(tmp_path / "marker")]) == ["done"]
        with pytest.raises(RuntimeError, match="Lost"):
            pool.apply(tasks.kill_self)
        assert pool.apply(abs, (-1,)) == 1


def test_workers_are_renewed_after_so_many_chunks():
    with ours.Pool(1, maxtasksperchild=2) as pool:
        processes = pool.map(tasks.process_id, range(6), chunksize=1)
    assert len(set(processes)) == 3


def test_an_endless_generator_is_read_as_far_as_it_is_needed():
    read = []

    def numbers():
        while True:
            read.append(len(read))
            yield len(read)

    with ours.Pool(2, pool="threads") as pool:
        results = pool.imap(operator.neg, numbers())
        assert [next(results) for _ in range(5)] == [-1, -2, -3, -4, -5]
        time.sleep(0.05)
        assert len(read) <= 5 + 8 + 1


def test_terminate_ends_what_runs_and_who_waits_is_told():
    begin = time.monotonic()
    with ours.Pool(1) as pool:
        running = pool.apply_async(time.sleep, (60,))
    with pytest.raises(RuntimeError, match="terminated"):
        running.get(10)
    assert time.monotonic() - begin < 8


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: ours.Value, "has no `Value`"),
        (lambda: ours.Pool(1, context=standard.get_context("spawn")), "takes no `context`"),
        (lambda: ours.Pool(1, maxtasksperchild=1, pool="threads"), "processes on this machine"),
        (lambda: ours.Pool(1, pool="cloud"), "'cloud' is not available"),
        (lambda: type("Mine", (ours.Process,), {})(), "give it a `target`"),
        (lambda: ours.Pipe()[0].fileno(), "has no file"),
    ],
    ids=["value", "context", "renewal", "kind", "inheritance", "file"],
)
def test_what_is_not_offered_is_said_in_a_sentence(act, words):
    with pytest.raises(UsageError, match=words):
        act()


@pytest.mark.parametrize("size", [0, -1])
def test_chunks_of_nothing_are_refused(size):
    with ours.Pool(1, pool="threads") as pool, pytest.raises(ValueError, match=f"must be 1[+], not {size}"):
        pool.map(abs, [1, 2], chunksize=size)


SCRIPT = """
from {module} import Pool, cpu_count

class Number(int):
    pass

def double(number):
    return Number(2 * number)

if __name__ == "__main__":
    with Pool(2) as pool:
        print(pool.map(double, range(5)), list(pool.imap_unordered(double, [4])), cpu_count() > 0)
"""


@pytest.mark.parametrize(("module", "kind"), [("multiprocessing", ""), ("aiga.runs.multiprocessing", "local")])
def test_a_script_changes_one_import(tmp_path, module, kind):
    (tmp_path / "script.py").write_text(SCRIPT.format(module=module))
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"AIGA_POOL": kind},
    )
    assert (done.stdout, done.stderr) == ("[0, 2, 4, 6, 8] [8] True\n", "")


def test_a_task_may_have_a_pool_for_functions_of_the_script(tmp_path):
    script = textwrap.dedent(
        """
        from aiga.runs.multiprocessing import Pool
        def square(number):
            return number * number
        def squares(count):
            with Pool(1) as pool:
                return pool.map(square, range(count))
        if __name__ == "__main__":
            with Pool(1) as pool:
                print(pool.apply(squares, (3,)))
        """
    )
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[0, 1, 4]\n", "")


def test_ctrl_c_ends_a_script_and_its_workers(tmp_path):
    script = textwrap.dedent(
        """
        import os, signal, sys, threading, time
        from aiga.runs.multiprocessing import Pool
        if __name__ == "__main__":
            signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored below a job in the background
            with Pool(1) as pool:
                print(pool.apply(os.getpid), flush=True)
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
                pool.map(time.sleep, [60])
        """
    )
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
