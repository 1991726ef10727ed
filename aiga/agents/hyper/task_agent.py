"""The task agent: asks the model once and hands in {"response": ...}.

`solve(task)` is called for each task.  `task` has "instruction" and whatever its domain adds; a domain that takes only
certain responses lists them as "responses", and is then asked about once more if none of them came.
"""

import json

from broker import ask  # pyright: ignore[reportMissingImports]: it is there where this runs

FORM = 'Answer with one JSON object and nothing else: {"response": ...}.'


def solve(task):
    """What is handed in for a task."""
    allowed = task.get("responses")
    said = [{"role": "user", "text": f"{json.dumps(task, indent=1, ensure_ascii=False)}\n\n{FORM}"}]
    text = asked(said)
    response, wrong = read(text, allowed)
    if wrong and allowed:
        said += [{"role": "assistant", "text": text}, {"role": "user", "text": f"{wrong} {FORM}"}]
        response, wrong = read(asked(said), allowed)
    return {"response": response}


def asked(messages):
    """What the model says."""
    reply = ask({"messages": messages, "temperature": 0})
    if "error" in reply:
        raise RuntimeError(reply["error"])
    return reply["text"]


def read(text, allowed=None):
    """The response that a text holds, and what is wrong with it; without a readable one the text itself."""
    start, end = text.find("{"), text.rfind("}")
    try:
        response = json.loads(text[start : end + 1])["response"]
    except (ValueError, KeyError, TypeError):
        return text, "That is not such an object."
    if allowed and response not in allowed:
        return response, f"The response must be one of {json.dumps(allowed)}."
    return response, ""
