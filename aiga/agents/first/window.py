"""The conversation, kept within what the model can read: what is oldest is shortened first."""

LIMIT = 40_000
"""Tokens that are sent at most."""
CHARACTERS = 3
"""Of a token, rather few."""
KEPT = 400
"""Characters that are left of a text that is shortened."""
LAST = 4
"""Messages at the end that are shortened only if nothing else helps."""


class Conversation:
    """What was said so far."""

    def __init__(self, system, first):
        self.limit = LIMIT
        self._all = [{"role": "system", "text": system}, {"role": "user", "text": first}]

    def said(self, reply):
        """Add a reply of the model."""
        text = reply["text"] if reply["text"].strip() or reply["calls"] else "(nothing)"
        self._all.append({"role": "assistant", "text": text, "calls": reply["calls"]})

    def result(self, call, text):
        """Add what came of a call."""
        self._all.append({"role": "tool", "text": text, "answers": call["id"]})

    def messages(self):
        """What is sent: all of it, shortened from the oldest on until it is within the limit."""
        sent = list(self._all)
        for place in [*range(2, len(sent) - LAST), *range(max(2, len(sent) - LAST), len(sent)), 1]:
            if size(sent) <= self.limit:
                break
            sent[place] = shortened(sent[place])
        return sent

    def shrink(self):
        """Send less from now on, since the model could not read that much; False if there is nothing to be gained."""
        before = size(self.messages())
        self.limit = min(self.limit, before) * 2 // 3
        return size(self.messages()) < before


def size(messages):
    """Tokens, about."""
    return sum(len(str(message)) for message in messages) // CHARACTERS


def shortened(message):
    """A message with long texts cut."""
    short = {**message, "text": cut(message["text"])}
    if message.get("calls"):
        short["calls"] = [{**call, "arguments": leaner(call["arguments"])} for call in message["calls"]]
    return short


def leaner(arguments):
    """Arguments of a call with long texts cut."""
    return {name: cut(value) if isinstance(value, str) else value for name, value in arguments.items()}


def cut(text):
    """The beginning of a text."""
    return text if len(text) <= KEPT else f"{text[:KEPT]} ... ({len(text) - KEPT} characters were left out)"
