"""Run as `python -m unittest` in this folder: a model that follows a script, and the tools."""

import os
import tempfile
import unittest

import agent
import tools
import window


def reply(*calls, text=""):
    """What the model answers: calls of tools, `(name, arguments)`."""
    named = [{"id": f"c{n}", "name": name, "arguments": arguments} for n, (name, arguments) in enumerate(calls)]
    return {"text": text, "calls": named, "finish": "tool" if calls else "stop", "usage": {"in": 1, "out": 1}}


class Agent(unittest.TestCase):
    """Each test has an empty folder."""

    def setUp(self):
        """Go there."""
        self.folder, self.before, self.ask = tempfile.TemporaryDirectory(), os.getcwd(), agent.ask
        os.chdir(self.folder.name)

    def tearDown(self):
        """Come back."""
        os.chdir(self.before)
        self.folder.cleanup()
        agent.ask = self.ask

    def follow(self, *replies):
        """Let the model answer by a script; the requests that come."""
        requests, script = [], iter(replies)
        agent.ask = lambda request: requests.append(request) or next(script)
        return requests

    def test_it_edits_and_finishes(self):
        """The file is written, and the model reads what its tools said."""
        create = ("edit", {"action": "create", "path": "a/b.txt", "text": "one\n"})
        requests = self.follow(reply(create), reply(("finish", {"summary": "written"})))
        assert agent.solve({"instruction": "Write one."}) == "written"
        assert tools.edit("view", "a/b.txt") == "    1 one"
        assert requests[1]["messages"][-1]["text"] == "a/b.txt has 1 lines."

    def test_it_sends_less_when_it_was_too_much_and_asks_again_when_nothing_came(self):
        """And gives up on any other error."""
        context, model = {"error": "too long", "kind": "context"}, {"error": "nothing", "kind": "model"}
        requests = self.follow(context, model, reply(text="done"))
        assert agent.solve({"instruction": "x" * 5000}) == "done"
        assert len(str(requests[1])) < len(str(requests[0]))
        self.follow({"error": "used", "kind": "calls"})
        assert agent.solve({"instruction": "x"}) == "stopped (calls): used"

    def test_the_tools_say_what_went_wrong(self):
        """Instead of raising."""
        assert "exit code 3" in tools.run("shell", {"command": "echo out; exit 3"})
        assert "ended after" in tools.shell("sleep 5", seconds=0.2)
        assert "no tool" in tools.run("dig", {})
        assert "FileNotFoundError" in tools.run("edit", {"action": "view", "path": "none"})
        assert "TypeError" in tools.run("search", {"unreadable": "{"})
        tools.edit("create", "x.py", "a = 1\nb = 1\n")
        assert "2 times" in tools.edit("replace", "x.py", "2", "1")
        assert tools.edit("replace", "x.py", "2", "b = 1") == "replaced in x.py, line 2."
        assert tools.search("^a") == "./x.py:1: a = 1"

    def test_old_results_are_shortened_before_new_ones(self):
        """And calls keep their answers."""
        conversation = window.Conversation("s", "f")
        for n in range(8):
            conversation.said(reply(("shell", {"command": "c" * 900})))
            conversation.result({"id": "c0"}, f"{n}" * 3000)
        conversation.limit = 6000
        sent = conversation.messages()
        assert window.size(sent) <= 6000
        assert len(sent[3]["text"]) < 500
        assert len(sent[-1]["text"]) == 3000
        assert [m["role"] for m in sent] == ["system", "user", *(["assistant", "tool"] * 8)]


if __name__ == "__main__":
    unittest.main()
