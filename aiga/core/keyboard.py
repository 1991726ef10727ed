"""A person at the terminal who answers with single keys."""

import contextlib
import os
import select
import sys
import termios
from collections.abc import Iterator

QUIT = ("q", "\x03", "\x04", "")
"""Also Ctrl-C, Ctrl-D, and a terminal that has gone."""


def attended() -> bool:
    """Whether somebody can be asked: standard input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def key() -> str:
    """The next key, in lower case."""
    return _read(1).lower()


def line() -> str:
    """The next line, where keys are not read one by one."""
    text = _read(1_000)
    while text and not text.endswith("\n"):
        more = _read(1_000)
        text = text + more if more else ""
    return text.strip()


def typed() -> bool:
    """Whether there is something to read."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


@contextlib.contextmanager
def keys() -> Iterator[None]:
    """Keys are read one by one, unseen, Ctrl-C as well; what was typed before is not lost."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    during = termios.tcgetattr(descriptor)
    during[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    termios.tcsetattr(descriptor, termios.TCSANOW, during)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def forget() -> None:
    """Drop what was typed before it was asked for."""
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def _read(most: int) -> str:
    try:
        return os.read(sys.stdin.fileno(), most).decode(errors="replace")
    except OSError:  # the terminal has gone
        return ""
