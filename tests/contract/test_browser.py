"""The dashboard in a real browser, on real runs: every view, live, clicked, narrow, dark, and by keys alone."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from aiga.runs import browser, loop
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.store import Store
from tests.recorded import MANIFEST

RUNS: dict[str, dict[str, Any]] = {
    "map_elites": {"steps": 4, "cells": 25, "batch": 32, "fuse": 2},
    "me_es": {"steps": 1, "visit": 3, "pairs": 4, "hidden": 4, "horizon": 20, "repeats": 1, "side": 6},
    "go_explore": {"steps": 3, "cells": "domain", "batch": 2},
    "qdaif": {"steps": 2, "iterations": 16, "batch": 4, "founders": 8},
}
WAIT = 60_000
"""Milliseconds for what has to be computed first."""
DRAWN = ".figures .card :is(.main-svg, img, video, table, svg, details, p)"
HIGHEST = "Math.max(...(document.querySelector('.plot')?._fullData ?? []).flatMap(trace => [...trace.y]))"
"""The highest point of the first figure."""

FAINT = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => below.map((part, i) => (top[i] * top[3] + part * (255 - top[3])) / 255);
  const linear = (part) => (part <= 10 ? part / 3295 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.05 + 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    const below = element.parentElement ? ground(element.parentElement) : [255, 255, 255];
    return over(rgba(getComputedStyle(element).backgroundColor), below);
  };
  const faint = ({ parentElement: element }) => {
    const below = ground(element);
    const [a, b] = [light(over(rgba(getComputedStyle(element).color), below)), light(below)];
    return Math.max(a, b) / Math.min(a, b) < 4.5;
  };
  const texts = document.evaluate("//body//text()[normalize-space()]", document, null, 7);
  return [...Array(texts.snapshotLength).keys()].map((i) => texts.snapshotItem(i))
    .filter(({ parentElement: of }) => of.checkVisibility() && !of.closest("svg, script, noscript, .away, :disabled"))
    .filter(faint).map((text) => `${text.data.trim()} (${text.parentElement.className})`);
}"""
"""Texts with a contrast below 4.5, https://www.w3.org/TR/WCAG22/#contrast-minimum."""
NAMELESS = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
  .filter((element) => element.checkVisibility() && !element.closest("[aria-hidden]"))
  .filter((of) => !(of.ariaLabel || of.innerText.trim() || of.title || [...(of.labels ?? [])].length))
  .map((element) => element.outerHTML.slice(0, 200))"""

pytestmark = pytest.mark.skipif(browser.found() is None, reason="there is no browser: apt-get install chromium")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for system, options in RUNS.items():
        loop.run(system, out=folder / system, **options)
    return folder


@pytest.fixture(scope="module")
def address(runs) -> Iterator[str]:
    command = [sys.executable, "-m", "aiga", "dashboard", str(runs), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+/", line)
        assert found, line
        yield found[0]
        process.terminate()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as p, p.chromium.launch(executable_path=browser.found(), args=["--no-sandbox"]) as launched:
        yield launched


@pytest.fixture
def page(chromium, address) -> Iterator[Page]:
    """A page that may ask nobody but the dashboard, and may not complain."""
    with chromium.new_context(viewport={"width": 1280, "height": 800}) as context:
        page, complaints = context.new_page(), []
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: complaints.append(asked.url) if _foreign(asked.url, address) else None)
        yield page
        page.goto("about:blank")
        assert complaints == []


def _foreign(asked: str, address: str) -> bool:
    return not asked.startswith((address, "data:", "blob:", "about:"))


def opened(page: Page, address: str, place: str) -> None:
    page.goto(f"{address}#/{place}")
    expect(page.locator("#main .wait")).to_have_count(0, timeout=WAIT)


@pytest.mark.parametrize("system", RUNS)
def test_every_view_of_a_run_shows_something(page, address, system):
    opened(page, address, f"run?id={system}")
    tabs = page.locator("[role=tab]")
    names = tabs.all_inner_texts()
    assert len(names) >= 3, names
    for name in names:
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.locator(DRAWN).first).to_be_visible(timeout=WAIT)
        assert page.locator(".fault").count() == 0, page.locator(".fault").all_inner_texts()


def test_a_click_on_a_cell_opens_its_elite_which_lives_again(page, address, runs):
    opened(page, address, "run?id=map_elites&view=archive")
    expect(page.locator(".plot .main-svg").first).to_be_visible(timeout=WAIT)
    box = page.locator(".plot .nsewdrag").first.bounding_box()
    panel = page.locator("aside.panel")
    for i in range(25):  # where the first elites are is the run's
        page.mouse.click(
            box["x"] + box["width"] * (0.1 + 0.2 * (i % 5)), box["y"] + box["height"] * (0.1 + 0.2 * (i // 5))
        )
        page.wait_for_timeout(150)
        if panel.count():
            break
    expect(panel).to_be_visible()
    name = re.search(r"who=(\d+)", page.url)[1]
    assert int(name) in Run(runs / "map_elites").lineage()["id"]
    panel.get_by_role("button", name="Simulate again").click()
    expect(panel.locator(".figures").first.locator(":is(.main-svg, img, video, svg)").first).to_be_visible(timeout=WAIT)
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)


def test_a_page_follows_a_run_while_it_is_written(page, address, runs):
    store = Store.create(runs / "living", MANIFEST)
    try:
        for step in range(3):
            _step(store, step)
        store.note(status="running")
        opened(page, address, "run?id=living&view=curves")
        steps = page.locator("dl.facts div", has_text="steps").locator("dd").first
        expect(steps).to_have_text("3", timeout=WAIT)
        page.wait_for_function(f"{HIGHEST} === 2", timeout=WAIT)
        page.evaluate("window.unloaded = false")
        for step in range(3, 8):
            _step(store, step)
        store.note(status="running")
        expect(steps).to_have_text("8", timeout=20_000)
        page.wait_for_function(f"{HIGHEST} === 7", timeout=WAIT)
        assert page.evaluate("window.unloaded") is False, "the page was loaded anew"
    finally:
        store.close()


def _step(store: Store, step: int) -> None:
    born = Born(np.array([[step, 0]]), np.array([[[-1, -1]]]), "seed", np.array([2]), np.array([1.0 * step]))
    store.record(step, {"run/steps": step + 1, "run/seconds": 0.5 * step, "a/x": float(step), "born": born})


def test_the_list_is_filtered_and_opened_by_keys_alone(page, address):
    opened(page, address, "")
    expect(page.locator(".run").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("qdaif")
    expect(page.locator(".run:visible")).to_have_count(1)
    page.keyboard.press("Tab")
    for _ in range(12):
        if page.evaluate("document.activeElement.classList.contains('run')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("id=qdaif"))
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()


def test_two_runs_are_ticked_and_compared(page, address):
    opened(page, address, "")
    for name in ("map_elites", "me_es"):
        page.get_by_label(f"Compare {name}").check()
    page.get_by_role("link", name=re.compile("ompare")).or_(
        page.get_by_role("button", name=re.compile("ompare"))
    ).first.click()
    expect(page.locator(".figures .plot .main-svg").first).to_be_visible(timeout=WAIT)


@pytest.mark.parametrize("place", ["", "run?id=map_elites&view=archive", "run?id=qdaif&view=models"])
def test_it_fits_a_phone_at_night(chromium, address, place):
    with chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark") as context:
        page = context.new_page()
        opened(page, address, place)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        red, green, blue = map(
            int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
        )
        assert red + green + blue < 200, "it is not dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_can_be_read_and_has_a_name(chromium, address, runs, scheme):
    who = Run(runs / "map_elites").lineage()["id"][0]
    places = {"": ".run", "compare?run=qdaif&run=me_es": ".member", f"run?id=map_elites&who={who}": ".panel table"}
    with chromium.new_context(color_scheme=scheme) as context:
        page = context.new_page()
        for place, shown in places.items():
            opened(page, address, place)
            expect(page.locator(shown).first).to_be_visible(timeout=WAIT)
            page.wait_for_timeout(300)  # the panel slides in
            assert (page.evaluate(FAINT), page.evaluate(NAMELESS)) == ([], [])


def test_tab_reaches_everything_on_a_page(page, address):
    opened(page, address, "run?id=map_elites&view=curves")
    expect(page.locator(".plot .main-svg").first).to_be_visible(timeout=WAIT)
    wanted = "main :is(button, select, input, summary, a[href]):not([tabindex='-1'])"
    count = page.evaluate(f"[...document.querySelectorAll(`{wanted}`)].filter(one => one.checkVisibility()).length")
    reached = set()
    for _ in range(4 * count):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(f"[...document.querySelectorAll(`{wanted}`)].indexOf(document.activeElement)"))
    assert len(reached - {-1}) == count
