"""Attempts by a program of a pool to reach the process it was forked from, and the programs that come after it.

Read as text, and run in the pool. A function returns what it got; OSError or nothing: it is held.
"""

import builtins
import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
ZYGOTE = os.getppid()
PLACES = {os.getcwd(), os.path.dirname(os.getcwd()), os.environ["TMPDIR"], "/tmp", "/dev/shm"}
PLANTED = b"planted by the program before"


def each(*attempts):
    found = []
    for attempt in attempts:
        with contextlib.suppress(OSError):
            found.append(attempt())
    return [what for what in found if what]


def read_its_memory():
    with open(f"/proc/{ZYGOTE}/mem", "rb") as memory, open(f"/proc/{ZYGOTE}/maps") as maps:
        memory.seek(int(maps.readline().partition("-")[0], 16))
        return memory.read(8).hex()


def write_its_memory():
    with open(f"/proc/{ZYGOTE}/mem", "wb") as memory:
        return memory.write(b"x")


def list_its_descriptors():
    return os.listdir(f"/proc/{ZYGOTE}/fd")


def open_its_descriptors():
    return each(*(lambda fd=fd: os.open(f"/proc/{ZYGOTE}/fd/{fd}", os.O_WRONLY) for fd in range(100)))


def take_its_descriptors():
    pidfd = os.pidfd_open(ZYGOTE)
    return [fd for fd in range(100) if LIBC.syscall(438, pidfd, fd, 0) >= 0]


def read_its_environment():
    with open(f"/proc/{ZYGOTE}/environ", "rb") as environment:
        return environment.read().decode()


def attach_to_it():
    return [request for request in (16, 0x4206) if LIBC.ptrace(request, ZYGOTE, 0, 0) == 0]


def write_to_inherited_descriptors():
    return each(*(lambda fd=fd: (os.write(fd, b"=\0\0\0\2{}"), fd)[1] for fd in range(60, 128)))


def take_its_limits():
    for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        with contextlib.suppress(OSError):
            resource.prlimit(ZYGOTE, which, (0, 0))


def slow_it_down():
    each(
        lambda: os.setpriority(os.PRIO_PROCESS, ZYGOTE, 19),
        lambda: os.sched_setaffinity(ZYGOTE, {min(os.sched_getaffinity(0))}),
        lambda: os.sched_setscheduler(ZYGOTE, os.SCHED_IDLE, os.sched_param(0)),
    )


def have_it_signalled():
    """By an alarm of a pipe that belongs to it; it may die of this, and then so do we."""
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, ZYGOTE)
    fcntl.fcntl(reader, 10, signal.SIGKILL)  # F_SETSIG
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writer, b"x")
    time.sleep(0.05)


def kill_everybody():
    os.kill(-1, signal.SIGKILL)


def poison_modules():
    for function in ("dumps", "loads"):
        setattr(json, function, lambda *_, **__: '{"outcome": "ok", "value": "forged"}')
    builtins.compile = builtins.exec = os._exit = os.fork = sys.exit = None
    sys.modules["planted"] = json
    os.environ["PLANTED"] = "1"
    sys.path.insert(0, "/tmp")
    sys.setrecursionlimit(60)


def poison_files():
    for place in PLACES:
        with contextlib.suppress(OSError):
            for name in (
                "json.py",
                "home",
                "broker.py",
                "größe \U0001f300\n",
                b"\xff\xfe".decode(errors="surrogateescape"),
            ):
                with open(os.path.join(place, name), "wb") as file:
                    file.write(PLANTED)


def leave_links_and_locked_folders():
    for place in PLACES:
        with contextlib.suppress(OSError):
            os.symlink("/usr", f"{place}/link")
            os.makedirs(f"{place}/locked/deep", 0o700)
            os.mkfifo(f"{place}/locked/pipe")
            os.mkdir(f"{place}/locked/closed", 0)


def leave_a_deep_tree():
    for _ in range(300):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)


def put_a_link_in_place_of_its_folder():
    home = os.getcwd()
    os.chdir("/")
    os.rmdir(home)
    os.symlink("/usr", home)


def fill_the_disk():
    for place in PLACES:
        with contextlib.suppress(OSError):
            for number in range(100):
                with open(f"{place}/{number}", "wb") as file:
                    file.write(bytes(1 << 20))


def leave_daemons():
    for _ in range(5):
        subprocess.Popen(["sleep", "60"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            time.sleep(60)
        os._exit(0)


def leave_processes_that_fork_without_end():
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork() != 0:
                os._exit(0)


def leave_threads_that_answer_later():
    def answer(fd):
        time.sleep(0.01)
        with contextlib.suppress(OSError):
            os.write(fd, b'v\0\0\0\x08"forged"')

    for fd in range(3, 100):
        threading.Thread(target=answer, args=(fd,), daemon=True).start() if fd % 10 == 0 else None


def leave_shared_memory():
    segment = LIBC.shmget(4242, 4096, 0o1666)
    with open("/dev/shm/planted", "w+b") as file:
        file.truncate(4096)
        mmap.mmap(file.fileno(), 4096)[:5] = b"plant"
    return segment if segment >= 0 else None


def leave_a_server():
    if os.fork() == 0:
        server = socket.socket(socket.AF_UNIX)
        server.bind("\0planted")
        server.listen()
        server.accept()


def look_around():
    """What a program finds; the same for the first and for every later one."""
    limits = [resource.getrlimit(which) for which in range(16)]
    files = sorted({f"{place}/{name}" for place in PLACES if (names := _listed(place)) for name in names})
    reached = each(_connected, lambda: LIBC.shmget(4242, 4096, 0) + 1)
    state = (
        sorted(os.environ),
        sorted(sys.modules),
        sys.path,
        sys.getrecursionlimit(),
        json.dumps([1]),
        builtins.compile,
    )
    process = (
        os.getcwd(),
        os.nice(0) if _may_be_nice() else 0,
        sorted(os.sched_getaffinity(0)),
        signal.getsignal(signal.SIGTERM),
    )
    found = repr([limits, files, reached, state, process, _processes(), _forks()])
    return found.replace(os.path.dirname(os.getcwd()), "BOX")


def _listed(place):
    if place == "/tmp" and place != os.environ["TMPDIR"]:
        return []  # everybody's, where it can be read at all
    with contextlib.suppress(OSError):
        return os.listdir(place)


def _may_be_nice():
    with contextlib.suppress(OSError):
        os.nice(0)
        return True


def _connected():
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect("\0planted")
        return "a server"


def _processes():
    with contextlib.suppress(OSError):
        return len([name for name in os.listdir("/proc") if name.isdigit()])


def _forks():
    """How many processes it may have; all of them end with it."""
    for number in range(100):
        try:
            if os.fork() == 0:
                time.sleep(60)
        except OSError:
            return number
    return None
