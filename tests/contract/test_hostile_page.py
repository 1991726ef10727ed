"""What a run says, in a real browser: nothing is executed, nothing is asked of anybody else."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from aiga.runs import browser
from tests.recorded import recorded

pytestmark = pytest.mark.skipif(browser.found() is None, reason="there is no browser: apt-get install chromium")

RUN = "window.pwned = 1"
WORDS = f"<script>{RUN}</script><img src=x onerror='{RUN}'><svg onload='{RUN}'>"
LINK = "<a href='https://evil.example/x'>click</a>"
DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
MARKUP = {
    f"<script>{RUN}</script>": "",
    f"<img src=x onerror='{RUN}'>": "",
    f"<img src='data:image/svg+xml,<svg onload={RUN}>'>": "",
    f"<img alt='ours' src='{DOT}'>": f'<img src="{DOT}" alt="ours">',
    "<a href='javascript:alert(1)'>a</a>": "<a>a</a>",
    f"<svg><script>{RUN}</script><a xlink:href='javascript:{RUN}'><text>t</text></a></svg>": (
        "<svg><a><text>t</text></a></svg>"
    ),
    f"<svg><foreignObject><iframe srcdoc='<script>{RUN}</script>'></iframe></foreignObject><use href='#x'/></svg>": (
        "<svg></svg>"
    ),
    "<svg><rect fill=\"url('https://evil.example/')\"/></svg>": "<svg><rect></rect></svg>",
    "<p style='background:url(https://evil.example/)'>p</p>": "<p>p</p>",
    "<p style='background:u\\72l(https://evil.example/)'>p</p>": "<p>p</p>",
    "<p style='color:red; position : fixed'>p</p>": "<p>p</p>",
    "<p style='color:red'>p</p>": '<p style="color: red;">p</p>',
    "<style>@import 'https://evil.example/';</style>": "",
    "<form action='https://evil.example'><button>b</button></form>": "",
    f"<math><mtext><table><mglyph><style><img src=x onerror='{RUN}'>": "<table></table>",
    f"<template><img src=x onerror='{RUN}'></template>": "",
    f"<details open ontoggle='{RUN}'><summary>s</summary></details>": '<details open=""><summary>s</summary></details>',
    "<meta http-equiv=refresh content='0;url=https://evil.example'><base href='https://evil.example/'>": "",
    f"<b onclick='{RUN}' id='main'>b</b>": '<b id="of-a-run-main">b</b>',
}  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("runs")
    metrics = {f"{WORDS}/x": [1.0, 2.0, 3.0], LINK: [3.0, 2.0, 1.0], "a/words": [WORDS] * 3}
    texts = [WORDS, f"{WORDS}\n<iframe src='javascript:parent.{RUN}'></iframe>"]
    asked = {"options": {WORDS: WORDS}, "model": WORDS, "created": WORDS, "status": WORDS, "system": f"{WORDS}.py"}
    recorded(folder / "evil", metrics=metrics, texts=texts, calls=[(WORDS, WORDS, WORDS)], **asked)
    recorded(folder / f"{WORDS.replace('/', '')}")
    command = [sys.executable, "-m", "aiga", "dashboard", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read(1) + process.stdout.readline()
        yield re.findall(r"http://\S+/", said)[0]
        process.terminate()


@pytest.fixture(scope="module")
def page(address) -> Iterator[Page]:
    """A page, of which nothing may be left open, and which may ask nobody but the dashboard."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.found(), args=["--no-sandbox"])
        page, asked, dialogs = chromium.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.set_default_timeout(60_000)
        yield page
        assert not dialogs
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
        chromium.close()


def test_words_of_a_run_are_shown_as_they_are(page, address):
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('.run .status:not(.reading)').length === 2")
    assert WORDS.replace("/", "") in page.inner_text("#runs")
    for view in ("curves", "lineage", "models", "own"):
        page.goto(f"{address}#/run?id=evil&view={view}")
        page.wait_for_selector(".figures .card :is(.main-svg, table), .fault")
        for summary in page.query_selector_all("details:not(.menu, [open]) > summary"):
            summary.click()
    assert WORDS in page.inner_text(".head")
    assert "--trust" in page.inner_text(".fault")
    assert page.evaluate("window.pwned") is None


def test_texts_and_changes_of_an_individual_are_shown_as_they_are(page, address):
    page.goto(f"{address}#/run?id=evil&view=lineage&who={1 << 32}")
    page.wait_for_selector(".panel .markup")
    assert "<iframe src=" in page.inner_text(".panel .markup")
    assert page.evaluate("[...document.querySelectorAll('.panel :is(script, iframe, img)')].length") == 0
    assert page.evaluate("window.pwned") is None


def test_a_link_that_leads_elsewhere_is_not_followed(page, address):
    page.goto(f"{address}#/run?id=evil&view=curves")
    page.wait_for_selector(".main-svg text")
    assert page.locator(".main-svg a").count() == 0
    assert LINK in page.inner_text(".view")
    followed = """() => {
        const svg = document.querySelector(".main-svg");
        const link = svg.appendChild(document.createElementNS(svg.namespaceURI, "a"));
        link.setAttribute("href", "https://evil.example/");
        return link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
    }"""
    assert page.evaluate(followed) is False
    page.wait_for_timeout(200)
    assert page.url.startswith(address)


def test_markup_is_rebuilt_from_a_closed_list(page, address):
    page.goto(address)
    shown = """async given => {
        const { rebuilt } = await import("/static/markup.js");
        return given.map(html => { const made = rebuilt(html); document.body.append(made); return made.innerHTML; });
    }"""
    assert page.evaluate(shown, list(MARKUP)) == list(MARKUP.values())
    page.wait_for_timeout(200)
    assert page.evaluate("window.pwned") is None
