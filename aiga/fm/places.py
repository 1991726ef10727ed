"""Where foundation models are: their names, and the keys and addresses that the environment holds.

A model is named `openai:NAME`, `anthropic:NAME`, `google:NAME`, `ollama:NAME`, or by the address of any server that
speaks OpenAI's chat completions, `http://HOST:PORT/v1#NAME`.  Keys and addresses come from the environment:

| name        | key                                   | another address                                       |
|-------------|---------------------------------------|-------------------------------------------------------|
| `openai`    | `OPENAI_API_KEY`                      | `OPENAI_BASE_URL`                                     |
| `anthropic` | `ANTHROPIC_API_KEY`                   | `ANTHROPIC_BASE_URL`                                  |
| `google`    | `GOOGLE_API_KEY` or `GEMINI_API_KEY`  | `GOOGLE_GEMINI_BASE_URL`                              |
| `ollama`    | `OLLAMA_API_KEY`, if there is one     | `OLLAMA_BASE_URL`, else `http://localhost:11434/v1`   |
| an address  | `AIGA_FM_KEY`, if there is one        |                                                       |

At another address, a missing key is no error: local servers ask for none.
"""

import difflib
import importlib.util
import os
import urllib.parse
from typing import NamedTuple

from aiga.core.errors import UsageError

NO_KEY = "none"
"""What servers that ask for no key are told."""


class Place(NamedTuple):
    """Where a model is, and what lets us in."""

    provider: str
    """`openai`, `anthropic`, `google`, `ollama` or `address`."""
    model: str
    url: str | None
    """None: the provider's own."""
    variable: str
    """The environment variable of the key; the key itself is shown nowhere."""

    @property
    def key(self) -> str:
        return os.environ.get(self.variable) or NO_KEY


class Provider(NamedTuple):
    """What is particular about a provider."""

    keys: tuple[str, ...]
    """Variables that may hold the key."""
    url: str
    """The variable that may hold another address."""
    extra: str
    package: str


PROVIDERS = {
    "openai": Provider(("OPENAI_API_KEY",), "OPENAI_BASE_URL", "fm", "openai"),
    "anthropic": Provider(("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL", "anthropic", "anthropic"),
    "google": Provider(("GOOGLE_API_KEY", "GEMINI_API_KEY"), "GOOGLE_GEMINI_BASE_URL", "google", "google.genai"),
    "ollama": Provider(("OLLAMA_API_KEY",), "OLLAMA_BASE_URL", "fm", "openai"),
    "address": Provider(("AIGA_FM_KEY",), "", "fm", "openai"),
}


def place(name: str) -> Place:
    """Where a model of this name is.

    Raises:
        UsageError: The name has another form, the provider is unknown, its package is missing or its key is.
    """
    if name.startswith(("http://", "https://")):
        provider, url, model = "address", *name.partition("#")[::2]
    else:
        provider, _, model = name.partition(":")
        url = None
    _check_name(name, provider, model)
    about = PROVIDERS[provider]
    _check_installed(name, about)
    url = url or os.environ.get(about.url) or ("http://localhost:11434/v1" if provider == "ollama" else None)
    held = [variable for variable in about.keys if os.environ.get(variable)]
    if not held and url is None:
        raise UsageError(f"`{name}` needs a key: export {about.keys[0]}=...")
    return Place(provider, model, url, [*held, *about.keys][0])


def _check_name(name: str, provider: str, model: str) -> None:
    if name.startswith("http") and not (urllib.parse.urlsplit(name).netloc and model):
        raise UsageError(f"`{name}` does not say which model: write http://HOST:PORT/v1#MODEL.")
    if not model:
        names = ", ".join(f"{known}:MODEL" for known in PROVIDERS if known != "address")
        raise UsageError(f"`{name}` is no name of a model: write {names} or http://HOST:PORT/v1#MODEL.")
    if provider not in PROVIDERS or name.startswith("address:"):
        near = difflib.get_close_matches(provider, PROVIDERS, 1) or ["openai"]
        known = ", ".join(known for known in PROVIDERS if known != "address")
        raise UsageError(
            f"`{provider}` is no provider; there are {known}, and http://HOST:PORT/v1#MODEL: "
            f"did you mean `{near[0]}:{model}`?"
        )


def _check_installed(name: str, about: Provider) -> None:
    for package in ("pydantic_ai", about.package):
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:  # of a package within a package
            found = None
        if found is None:
            raise UsageError(f"`{name}` needs `{package}`, which is not installed: pip install 'aiga[{about.extra}]'.")
