"""What happens in the process of one program, from its fork to its value; read inside the confinement."""

import json
import linecache
import os
import resource
import sys
import traceback
import types
from typing import Any, NoReturn

import broker  # pyright: ignore[reportMissingImports]: beside this file, wherever that is

NAME = "program.py"
"""What tracebacks call it."""


def live(job: dict[str, Any], settings: dict[str, Any], pipes: Any, outputs: tuple[int, int]) -> NoReturn:
    """Be the program, to its end."""
    try:
        enter(job, settings, pipes, outputs)
        if job["serves"]:
            broker.connect(pipes)
        kind, payload = perform(job)
        sys.stdout.flush()
        sys.stderr.flush()
        broker.send(pipes.questions, kind, payload)
    finally:
        os._exit(1)


def enter(job: dict[str, Any], settings: dict[str, Any], pipes: Any, outputs: tuple[int, int]) -> None:
    """Give up what is the zygote's, and take the limits."""
    os.setsid()
    for fd, output in enumerate(outputs, 1):
        os.dup2(output, fd)
    first, second = sorted(pipes)
    for low, high in ((3, first), (first + 1, second), (second + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])):
        os.closerange(low, high)
    home = os.path.join(settings["writable"][0], "home")
    os.mkdir(home)
    os.chdir(home)
    os.environ.update(HOME=home, TMPDIR=home)
    for which, most in ((resource.RLIMIT_AS, job["memory_mb"] << 20), (resource.RLIMIT_CPU, job["cpu_seconds"])):
        resource.setrlimit(which, (most, most))
    sys.modules["broker"] = broker


def perform(job: dict[str, Any]) -> tuple[bytes, bytes]:
    """Call the function; the frame that says what came of it."""
    most = job["output_kb"] << 10
    try:
        value = json.dumps(call(job), default=plain).encode()
        if len(value) > most:
            raise ValueError(f"the value has {len(value)} bytes of JSON; {most} are allowed.")
    except MemoryError as error:
        error.__traceback__ = None  # and with it all that the program holds
        sys.stderr.write("MemoryError\n")
        return broker.FAILED, b"memory"
    except BaseException as error:
        return broker.FAILED, b"%d" % report(error)
    return broker.VALUE, value


def call(job: dict[str, Any]) -> Any:
    """What the function returns."""
    module = types.ModuleType("program")
    sys.modules["program"] = module  # where dataclasses and pickle look
    code = job["code"]
    linecache.cache[NAME] = (len(code), None, code.splitlines(keepends=True), NAME)
    exec(compile(code, NAME, "exec"), module.__dict__)
    return getattr(module, job["function"])(*job["arguments"])


def plain(value: Any) -> Any:
    """Arrays and their numbers as lists and numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"the value is no JSON: it holds a {type(value).__name__}.")


def report(error: BaseException) -> int:
    """Write what Python would; the exit code."""
    if isinstance(error, SystemExit):
        if isinstance(error.code, int | None):
            return (error.code or 0) % 256
        sys.stderr.write(f"{error.code}\n")
        return 1
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != NAME:  # from the program's first line on
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)
    return 1
