"""The inside of a worker process: reads calls from one descriptor, answers on it, and dies with its parent.

Kept apart from `pools` so that a worker starts with next to nothing imported.
"""

import os
import pickle
import struct
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from aiga.core.errors import UsageError

HEADER = struct.Struct(">4sdQ")
"""Before every message: `MARK`, a note, and how many bytes follow.

The note of an answer is the seconds that the task ran; that of a call is 1 if another call follows at once.
"""
HOLD = 0.005
"""Seconds that the answer to a short task may wait for the next, if another call has come with its own."""
MARK = b"aiga"
"""What does not begin so is not a message: something else wrote to the line."""
SCRIPT = b"_main__"
"""In every call that names the user's script: `__main__`, and in a worker, which may have a pool too, `__mp_main__`."""


def serve(calls: int, lifeline: int) -> None:
    """Say with an empty message that one is here, then answer calls until the parent closes `calls`.

    `lifeline` ends with the parent, also while a call runs.
    """
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    _keep_from_children(calls)
    _send(calls, frame(b""))
    held, flushed = bytearray(), time.perf_counter()
    with open(calls, "rb", closefd=False) as stream:
        preparation = pickle.loads((_receive(stream) or (b"", False))[0])
        prepared = False
        while (received := _receive(stream)) is not None:
            call, more = received
            failure = _prepare(preparation) if not prepared and SCRIPT in call else None
            prepared = prepared or (SCRIPT in call and failure is None)
            if b"multiprocessing.managers" in call:
                share_key(preparation["authkey"])
            began = time.perf_counter()
            message = failure or answer(call)
            ended = time.perf_counter()
            held += frame(message, ended - began)
            if more and ended - flushed < HOLD:
                continue
            if not _send(calls, held):
                return
            held.clear()
            flushed = ended


def frame(message: bytes, note: float = 0.0) -> bytes:
    """The message as it travels."""
    return HEADER.pack(MARK, note, len(message)) + message


def share_key(key: bytes) -> None:
    """Let objects of the parent's managers be used here."""
    import multiprocessing

    multiprocessing.current_process().authkey = key


def _die_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


def _keep_from_children(descriptor: int) -> None:
    """A child of the task must not hold the line open: the pool learns of a dead worker by its end."""
    os.set_inheritable(descriptor, False)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.register_at_fork(after_in_child=partial(os.dup2, nowhere, descriptor))


def _receive(stream: Any) -> tuple[bytes, bool] | None:
    """A call, and whether another follows at once."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    _, note, size = HEADER.unpack(header)
    message = stream.read(size)
    return (message, note > 0) if len(message) == size else None


def _send(descriptor: int, framed: bytes | bytearray) -> bool:
    rest = memoryview(framed)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _prepare(preparation: Mapping[str, Any]) -> bytes | None:
    """Import the user's script, as `multiprocessing` does under spawn; the answer to give if that fails."""
    import multiprocessing.spawn

    process: Any = multiprocessing.current_process()
    process._inheriting = True  # multiprocessing's own mark: while it is there, starting another process raises
    try:
        multiprocessing.spawn.prepare(dict(preparation))
    except BaseException as error:
        script = preparation.get("init_main_from_path", "the main module")
        sentence = (
            f"a worker could not import {script} ({type(error).__name__}): put the lines that start the run under"
            " `if __name__ == '__main__':`, or keep the function of the task in a module of its own."
        )
        return _failure(UsageError(sentence), "" if "freeze_support" in str(error) else _trace(error))
    finally:
        del process._inheriting
    return None


def answer(call: bytes, buffers: Sequence[Any] = ()) -> bytes:
    """Run the call; pickle (value, None), or (exception, traceback text)."""
    fn: Any = None
    try:
        fn, args = pickle.loads(call, buffers=buffers)
        value = fn(*args)
    except BaseException as error:
        return _failure(error, _trace(error))
    try:
        return pickle.dumps((value, None), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        name = getattr(fn, "__qualname__", type(fn).__qualname__)
        problem = TypeError(f"the result of `{name}` ({type(value).__qualname__}) cannot be sent back: {error}")
        return _failure(problem, _trace(error))


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def raisable(error: BaseException) -> Exception:
    """The exception, or one that says it: what is no `Exception`, and `StopIteration`, would end the caller's loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"the task raised {error!r}")


def _failure(error: BaseException, trace: str) -> bytes:
    problem = raisable(error)
    try:
        message = pickle.dumps((problem, trace), pickle.HIGHEST_PROTOCOL)
        pickle.loads(message)
    except Exception:
        problem = RuntimeError(f"{type(problem).__qualname__}: {problem}")
        message = pickle.dumps((problem, trace), pickle.HIGHEST_PROTOCOL)
    return message
