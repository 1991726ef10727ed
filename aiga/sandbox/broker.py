"""How a program asks us something, and the frames in which everything crosses the wall of the sandbox.

Inside a program:

    from broker import ask

    answer = ask(request)  # JSON both ways; the program's clock stands still meanwhile

Several threads of a program may ask at once; each waits for its own answer.  This file is also read inside the
sandbox, beside `zygote.py`: standard library only.
"""

import itertools
import json
import os
import struct
from typing import Any, NamedTuple

HEAD = struct.Struct(">cI")
"""Kind and length of what follows."""
NUMBER = struct.Struct(">I")
"""Which question: the first bytes of a question and of its answer."""

READY, JOB, RESULT = b"r", b"j", b"="
"""Between the pool and its zygote."""
VALUE, FAILED, ASK, ANSWER = b"v", b"f", b"?", b"!"
"""Between a program and whoever started it."""

LONGEST = 1 << 20
"""Bytes of a question."""
MOST_OPEN = 64
"""Questions of one program that wait for their answers; more wait before they are asked."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """What is written for it."""
    return HEAD.pack(kind, len(payload)) + payload


def send(fd: int, kind: bytes, payload: bytes) -> None:
    """Write a frame; waits while the pipe is full."""
    left = memoryview(frame(kind, payload))
    while left:
        left = left[os.write(fd, left) :]


def receive(fd: int) -> tuple[bytes, bytes] | None:
    """The next frame; None at the end of the stream."""
    head = _exactly(fd, HEAD.size)
    if head is None:
        return None
    kind, length = HEAD.unpack(head)
    payload = _exactly(fd, length)
    return None if payload is None else (kind, payload)


def _exactly(fd: int, length: int) -> bytes | None:
    found = bytearray()
    while len(found) < length:
        piece = os.read(fd, length - len(found))
        if not piece:
            return None
        found += piece
    return bytes(found)


class Pipes(NamedTuple):
    """File descriptors of a program's own end."""

    answers: int
    questions: int


PIPES = "AIGA_BROKER"
"""The environment variable that tells a program started as a command its pipes: `answers,questions`."""


class Line:
    """A program's line to us."""

    def __init__(self, pipes: Pipes) -> None:
        import threading  # not above: who has imported it pays at each fork, a fifth of what a small program costs

        self._pipes = pipes
        self._numbers = itertools.count()
        self._found: dict[int, Any] = {}
        self._open = threading.Semaphore(MOST_OPEN)
        self._writing = threading.Lock()
        self._reading = threading.Lock()

    def ask(self, request: Any) -> Any:
        body = json.dumps(request).encode()
        if len(body) > LONGEST:
            raise ValueError(f"a question of {len(body)} bytes is too long; {LONGEST} are allowed.")
        with self._open:
            with self._writing:
                number = next(self._numbers)
                send(self._pipes.questions, ASK, NUMBER.pack(number) + body)
            with self._reading:  # one thread reads for all
                while number not in self._found:
                    self._read()
            return self._found.pop(number)

    def _read(self) -> None:
        received = receive(self._pipes.answers)
        if received is None:
            raise EOFError("nobody answers any more.")
        payload = received[1]
        self._found[NUMBER.unpack_from(payload)[0]] = json.loads(payload[NUMBER.size :])


_line: Line | None = None


def connect(pipes: Pipes) -> None:
    """Let `ask` use these pipes."""
    global _line
    _line = Line(pipes)


def ask(request: Any) -> Any:
    """What we answer to `request`."""
    if _line is None:
        if PIPES not in os.environ:
            raise RuntimeError("this program was started without anybody to ask.")
        answers, questions = os.environ[PIPES].split(",")
        connect(Pipes(int(answers), int(questions)))
    assert _line is not None
    return _line.ask(request)
