"""Other pages for everybody: of windows, of comparisons; and pages that are wrong, which the checks of browser.py find out."""

import numpy as np
import pytest
from torch import nn

import knowlimits as kl
from tests.auditing import browser
from tests.auditing.browser import needs_browser, opened, show
from tests.auditing.test_page import HOSTILE, X, find, network


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "empty.html"
    path.write_text("<!doctype html><link rel='icon' href='data:,'>")
    with opened(path) as driver:
        yield driver


@needs_browser
def test_places_of_an_input_are_read_by_keys(chromium, tmp_path):
    from selenium.webdriver.common.keys import Keys

    windows = X[:60, :6].reshape(-1, 2, 3).copy()
    # One place stays, and is passed over.
    windows[:, 0, 1] = 0
    path = tmp_path / "windows.html"
    kl.audit(nn.Sequential(nn.Flatten(), network(6)), windows, outputs="logits", max_rows=20).to_html(path)
    show(chromium, 360)
    chromium.get(path.as_uri())
    fields, readout = find(chromium, "#map-keys"), find(chromium, "#map-readout")
    for keys, name in (
        ("", "x[0, 0] ↓"),
        (Keys.ARROW_RIGHT, "x[0, 2] ↓"),
        (Keys.ARROW_RIGHT, "x[0, 0] ↑"),
        (Keys.ARROW_DOWN, "x[1, 0] ↑"),
        (Keys.ARROW_LEFT, "x[1, 2] ↓"),
        (Keys.ARROW_DOWN, "x[1, 2] ↓"),
    ):
        fields.send_keys(keys or Keys.ARROW_LEFT)
        assert readout.text.splitlines()[0] == name
    fields.send_keys(Keys.ENTER)
    assert find(chromium, "#pick").get_attribute("value") == "x[1, 2]"
    assert browser.nameless(chromium) == []
    assert browser.wordless_pictures(chromium) == []
    assert browser.faint_text(chromium) == []
    assert browser.too_wide(chromium) == []


@needs_browser
def test_a_comparison_is_for_everybody_too(chromium, tmp_path):
    models = {"net <b>": network(3), "another" * 20: network(3)}
    path = tmp_path / "compare.html"
    kl.compare(models, X[:60, :3], np.arange(60) % 3, feature_names=HOSTILE[:3], max_rows=30).to_html(path)
    show(chromium, 1280)
    chromium.get(path.as_uri())
    assert browser.nameless(chromium) == []
    assert browser.wordless_pictures(chromium) == []
    assert browser.skipped_headings(chromium) == []
    assert browser.untold_cells(chromium) == []
    for width, scheme, media in (
        (1280, "light", ""),
        (1280, "dark", ""),
        (360, "light", ""),
        (browser.PAPER_ACROSS, "dark", "print"),
    ):
        show(chromium, width, scheme, media)
        assert browser.faint_text(chromium) == []
        assert browser.faint_marks(chromium) == []
        assert browser.too_wide(chromium) == []


# --- the checks themselves see what is wrong --------------------------------------------------------------------------------

WRONG = """<!doctype html><html lang="en"><title>x</title>
<style>.w { width: 3000px } .g { color: #999 } .bar { background-image: linear-gradient(rgb(250, 250, 250), #fff) }</style>
<body><h1>One</h1><h3>Three</h3><p class="g">pale</p><p class="w">wide</p>
<button></button><select><option>a</option></select><input type="search">
<canvas></canvas><svg role="img"><line x1="0" x2="9" y1="0" y2="9" stroke="#ddd"></line></svg>
<table><tr><th>a</th></tr></table><i class="bar"></i></body></html>"""


@needs_browser
def test_a_page_that_is_wrong_is_found_out(chromium, tmp_path):
    path = tmp_path / "wrong.html"
    path.write_text(WRONG)
    show(chromium, 360)
    chromium.get(path.as_uri())
    assert [text for text, _ in browser.faint_text(chromium)] == ["P.g: pale"]
    assert {text.split()[0] for text, _ in browser.faint_marks(chromium)} >= {"line.", "I.bar"}
    assert browser.skipped_headings(chromium) == ["<h3>Three</h3>"]
    assert {"button", "combobox", "searchbox"} <= {*browser.nameless(chromium)}
    assert len(browser.wordless_pictures(chromium)) == 2
    assert len(browser.untold_cells(chromium)) == 2
    assert "P: wide" in browser.too_wide(chromium)
    assert "pale" in browser.printed(chromium)
    assert "dark" not in browser.printed(chromium)


@needs_browser
def test_what_is_said_on_the_console_is_an_error(tmp_path):
    path = tmp_path / "loud.html"
    path.write_text("<script>missing()</script>")

    def look():
        with opened(path):
            pass

    with pytest.raises(AssertionError, match="missing is not defined"):
        look()
