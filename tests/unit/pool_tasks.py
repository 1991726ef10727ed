"""What `test_pools` runs in workers; a module of its own, so that they need not import pytest."""

import os
import signal
import sys
import threading
import time
from pathlib import Path


class UnpicklableError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def square(number):
    return number * number


def slow_square(number):
    time.sleep(0.005)
    return number * number


def divide(number):
    return 1 / number


def process_id(_=None):
    return os.getpid()


def kill_self(number=signal.SIGKILL):
    os.kill(os.getpid(), number)


def leave_with(exitcode):
    os._exit(exitcode)


def leave_a_child_and_die(marker):
    """A child of the task outlives the worker: the pool must still see the worker's end."""
    if os.fork() == 0:
        time.sleep(8)
        os._exit(0)
    die_once(marker)


def die_once(marker):
    """Kill the worker at the first attempt; the attempts leave a line each in `marker`."""
    with open(marker, "a") as file:
        file.write("attempt\n")
    if len(Path(marker).read_text().splitlines()) == 1:
        kill_self()
    return "done"


def note(marker, text):
    with open(marker, "a") as file:
        file.write(f"{text}\n")


def exit_politely():
    sys.exit(3)


def raise_unpicklable():
    raise UnpicklableError("one", "two")


def make_function():
    return lambda: None


def echo(value):
    return value


def modules():
    return sorted(sys.modules)


def environment(names):
    return [os.environ.get(name) for name in names]


def ignores_interrupts():
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def wait(seconds):
    time.sleep(seconds)
    return seconds


DRAWER = []


def open_drawer(content):
    DRAWER.append(content)


def look_into_drawer(_=None):
    return DRAWER[-1]


def add_up(counts, lock, space, _):
    with lock:
        counts["n"] += space.step


def put(queue, item):
    queue.put(item)


def converse(there, back, pipe):
    back.put(there.get() + 1)
    pipe.send(pipe.recv() + "?")
    pipe.close()


def write_to_every_line(text=b"garbage" * 10):
    """What a library that confuses its descriptors may do."""
    for descriptor in [int(name) for name in os.listdir("/dev/fd") if int(name) > 2]:
        try:
            os.write(descriptor, text)
        except OSError:
            continue
    time.sleep(5)


def note_and_wait(marker, seconds):
    note(marker, "begun")
    time.sleep(seconds)
    note(marker, "done")


def stop_iteration():
    raise StopIteration(1)


def die_of(poison):
    if poison:
        kill_self()
    return poison


def start_nothing():
    """Cannot be pickled by anybody."""
    return threading.Lock()
