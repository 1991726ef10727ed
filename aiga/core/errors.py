"""What the command line answers with one sentence and exit code 2."""

import importlib
from types import ModuleType


class UsageError(Exception):
    """Something given from outside cannot be used; the message says what was given, what is allowed, what to do."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise UsageError(f"this needs `{module}`, which is not installed: pip install 'aiga[{extra}]'.") from error


class BudgetExceeded(Exception):
    """A cap on dollars, tokens, calls, evaluations or time would be passed; the loop stops cleanly."""


class Stopped(Exception):
    """A person who was asked something wants to go on later; the loop stops cleanly."""
