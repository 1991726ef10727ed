"""Workspaces: commands that share a folder, what changed in it as a diff, and what may be changed at all."""

import asyncio
import random
import shutil
import subprocess
import time

import pytest

from aiga.core.errors import UsageError
from aiga.sandbox import bubblewrap, diffs, folders, landlock, workspace
from aiga.sandbox.protocol import Limits

SMALL = Limits(seconds=20, memory_mb=256, files_mb=2)


@pytest.fixture(scope="module", params=[bubblewrap, landlock], ids=["bubblewrap", "landlock"])
def rung(request):
    try:
        return request.param.rung()
    except UsageError as missing:
        pytest.skip(str(missing))


def used(rung, source, *commands, limits=SMALL, serve=None):
    """Run shell commands one after the other: their results, the diff, the files."""

    async def work():
        async with workspace.opened(rung, source, limits) as space:
            results = [await space.run(["sh", "-c", command], serve=serve) for command in commands]
            return results, space.diff(), space.files()

    return asyncio.run(work())


def test_commands_share_a_folder_and_the_diff_makes_the_same_files_again(rung):
    source = {"keep.txt": "same\n", "edit/me.py": "a = 1\nb = 2\n", "drop.txt": "x", "data": b"\0\1"}
    commands = (
        "cd edit && echo 'c = 3' >> me.py && rm ../drop.txt",
        "cp edit/me.py 'new one.py'; printf end > e",
        "exit 3",
    )
    results, diff, files = used(rung, source, *commands)
    assert [(result.outcome, result.code) for result in results] == [("ok", 0), ("ok", 0), ("error", 3)]
    assert files.keys() == {"keep.txt", "edit/me.py", "new one.py", "e", "data"}
    before = {name: content.encode() if isinstance(content, str) else content for name, content in source.items()}
    assert diffs.apply(before, diff) == files
    assert "keep.txt" not in diff
    assert "+c = 3\n" in diff


def test_a_folder_is_copied_in_and_stays_as_it_was(rung, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.sh").write_text("#!/bin/sh\necho ran > ../out; rm -r ../inner\n")
    (tmp_path / "inner" / "a.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("inner/a.sh")
    [result], diff, files = used(rung, tmp_path, "cd inner && ./a.sh")
    assert (result.outcome, result.stderr) == ("ok", "")
    assert files["out"] == b"ran\n"
    assert files["link"].startswith(b"#!")
    assert "deleted file mode" in diff
    assert (tmp_path / "inner" / "a.sh").exists()


def test_what_leads_out_of_a_folder_is_not_copied(rung, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("secret")
    (inside / "link").symlink_to("../secret")
    with pytest.raises(UsageError, match="link is no file of this folder"):
        used(rung, inside)
    (inside / "link").unlink()
    (inside / "loop").symlink_to(".")
    with pytest.raises(UsageError, match="loop is no file of this folder"):
        used(rung, inside)
    (inside / "loop").unlink()
    (inside / "large").write_bytes(bytes(3 << 20))
    with pytest.raises(UsageError, match="larger than the workspace"):
        used(rung, inside)
    with pytest.raises(UsageError, match="is no folder"):
        used(rung, inside / "large")


def test_what_a_command_leaves_does_not_lead_us_out(rung, tmp_path):
    secret, victim = tmp_path / "secret", tmp_path / "victim"
    secret.write_text("secret")
    victim.mkdir()

    async def work():
        async with workspace.opened(rung, {"a/b": "1"}, SMALL) as space:
            left = f"rm -r a; ln -s {victim} a; ln -s {secret} s; ln -s {tmp_path} t; mkfifo f"
            assert (await space.run(["sh", "-c", left])).outcome == "ok"
            for name in ("s", "t/secret", "f", "../secret"):
                with pytest.raises(UsageError, match="no plain file"):
                    space.read(name)
            with pytest.raises(UsageError, match="stay inside"):
                space.write("../x", "x")
            space.write("a/b", "ours")
            space.write("s", "ours")
            return space.read("a/b"), space.diff()

    content, diff = asyncio.run(work())
    assert content == b"ours"
    assert "secret\n" not in diff
    assert secret.read_text() == "secret"
    assert list(victim.iterdir()) == []


def test_time_is_limited_for_each_command_and_for_all_together(rung):
    async def work():
        async with workspace.opened(rung, {}, SMALL._replace(seconds=0.8)) as space:
            sleep = ["sleep", "30"]
            first = await space.run(sleep, limits=SMALL._replace(seconds=0.3))
            left = space.seconds_left
            second, third = await space.run(sleep), await space.run(["true"])
            return [first.outcome, second.outcome, third.outcome], left, space.seconds_left, third.stderr

    outcomes, left, end, words = asyncio.run(work())
    assert outcomes == ["timeout"] * 3
    assert 0 < left <= 0.5
    assert (end, words) == (0, "the workspace has used its 0.8 seconds.")


def test_time_that_we_take_to_answer_is_not_the_commands(rung):
    async def serve(request):
        await asyncio.sleep(0.5)
        return request + 1

    async def work():
        async with workspace.opened(rung, {"ask.py": "from broker import ask\nprint(ask(41))"}, SMALL) as space:
            return await space.run(["python", "ask.py"], serve=serve)

    began = time.monotonic()
    result = asyncio.run(work())
    assert (result.outcome, result.stdout) == ("ok", "42\n")
    assert result.seconds < time.monotonic() - began - 0.5


def test_size_is_limited_for_all_files_together(rung):
    [result], _, _ = used(rung, {}, "for i in 1 2 3 4 5 6 7 8 9; do head -c 500000 /dev/zero > $i; done; sleep 5")
    assert result.outcome == "killed"
    assert "more than 2 MB of files" in result.stderr


def test_the_end_of_a_workspace_ends_its_commands_and_removes_it(rung):
    async def work():
        async with workspace.opened(rung, {}, SMALL) as space:
            running = asyncio.create_task(space.run(["sh", "-c", "touch here; sleep 60"]))
            while not space.files():
                await asyncio.sleep(0.02)
            folder = space._folder
        return await asyncio.gather(running, return_exceptions=True), folder

    [ended], folder = asyncio.run(work())
    assert isinstance(ended, asyncio.CancelledError)
    assert not folder.exists()


NAMES = ["a.py", "b c.txt", "d/e.py", 'q"x.txt', "ü/ñ.txt", "back\\slash"]
LINES = ["x", "", "}", "-- a", "++ b", "@@ -1 +1 @@", "diff --git a/x b/x", "\\ No newline", "\r", "é\u2028"]


def content(rng: random.Random) -> bytes:
    lines = [rng.choice([*LINES, str(rng.randrange(40))]) for _ in range(rng.randrange(20))]
    return ("\n".join(lines) + rng.choice(["", "\n"])).encode()


def edited(rng: random.Random, before: bytes) -> bytes:
    lines = before.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at : at + rng.randrange(3)] = [b"new"] * rng.randrange(3)
    return b"\n".join(lines)


def changed(seed: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    rng = random.Random(seed)
    before = {name: content(rng) for name in NAMES[:-1]}
    after = {name: edited(rng, text) for name, text in before.items() if rng.random() < 0.8}
    return before, after | {NAMES[-1]: content(rng)}


def test_a_diff_applied_gives_the_same_files():
    for seed in range(100):
        before, after = changed(seed)
        assert diffs.apply(before, diffs.diff(before, after)) == after


@pytest.mark.skipif(not shutil.which("git"), reason="no git")
@pytest.mark.parametrize("seed", range(4))
def test_git_takes_a_diff(seed, tmp_path):
    before, after = changed(seed)
    folders.fill(tmp_path, before)
    words = ["git", "apply", "--whitespace=nowarn"]
    subprocess.run(words, input=diffs.diff(before, after).encode(), cwd=tmp_path, check=True)
    assert workspace.read(tmp_path, 1 << 20) == after


def test_a_diff_is_readable():
    before = {"a.py": b"".join(b"%d\n" % i for i in range(20)), "n": b"\0"}
    after = {"a.py": before["a.py"].replace(b"10\n", b"ten\n"), "n": b"\xff", "z": b""}
    assert diffs.diff(before, after) == (
        "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -8,7 +8,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n"
        "Binary file n: sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        " -> sha256:a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89\n"
        "diff --git a/z b/z\nnew file mode 100644\n"
    )
    assert diffs.diff(before, before) == ""


@pytest.mark.parametrize(
    ("diff", "words"),
    [
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-2\n+3\n", "its line 1 is not '2'"),
        ("diff --git a/x b/x\nnew file mode 100644\n", "'x' is already there"),
        ("diff --git a/y b/y\n", "'y' is missing"),
        ("diff --git a/x b/y\n", "names one file twice"),
        ('diff --git "a/x b/x\n', "names one file twice"),
    ],
)
def test_a_diff_that_does_not_fit_is_refused(diff, words):
    with pytest.raises(UsageError, match=words):
        diffs.apply({"x": b"1\n"}, diff)


def test_no_content_makes_a_diff_slow():
    cycles = {"a": b"".join(b"%d\n" % (i % 7) for i in range(20_000))}
    began = time.process_time()
    diff = diffs.diff(cycles, {"a": cycles["a"][10:] + b"x\n" + cycles["a"][:5000]})
    assert time.process_time() - began < 5
    assert diffs.apply(cycles, diff)["a"].endswith(b"x\n" + cycles["a"][:5000])
