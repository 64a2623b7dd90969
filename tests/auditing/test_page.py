"""The page of a report for everybody: by keys, by ear, in the dark, on a phone, on paper, and with names that mean harm."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import knowlimits as kl
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.show.html import render
from knowlimits.auditing.show.page.faults import shown
from tests.auditing import browser
from tests.auditing.browser import needs_browser, opened, show

HOSTILE = [
    "</script><script>document.title = 'taken'</script>",
    '"><img src=x onerror="document.title=\'taken\'">',
    "‮gnp.exe'",
    "גובה המטופל",
    "long " * 60,
    "long " * 60 + "too",
    "__proto__",
    "{{ 7 * 7 }}&amp;",
]
X = np.random.default_rng(0).normal(size=(120, len(HOSTILE))) * [1, 10, 100, 1, 1, 1, 1e-4, 1]
LABELS = np.array(["a</script>", "b", "c"])[np.arange(120) % 3]
CODES = Table(
    {
        "feature": np.array(["ward", "ward", "ward", "<b>"]),
        "value": np.array(["A", "B", "never seen", "</td>"]),
        "seen": np.array([0.75, 0.25, 0, 1]),
        "sure": np.array([0.5, 1, np.nan, 0]),
        "confidence": np.array([0.9, 1, np.nan, 0.5]),
        "classes": np.array(["a (100%)", "b (50%), c (50%)", "", "a (100%)"]),
        "changed": np.array([0.1, 0, np.nan, 0]),
        "error": np.array([0, 0, 1.0, 0]),
        "refused, unfamiliarity": np.array([0, 0.5, 1, 0]),
    }
)


def network(features):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.fixture(scope="module")
def audited():
    return kl.audit(network(X.shape[1]), X, LABELS, feature_names=HOSTILE, ranges={0: (-10, None), 1: (-500, 500)}, max_rows=60)


@pytest.fixture(scope="module")
def report(audited, tmp_path_factory):
    """With an error, a score that is not known, and codes, which this model does not have."""
    found = audited._found
    table = found.faults.table
    first = found.faults.order[0]
    error, sure = table["error"].copy(), table["sure"].copy()
    error[first], sure[first] = 1, np.nan
    faults = replace(found.faults, table=Table(table.columns | {"error": error, "sure": sure}))
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(
        render(
            replace(found, faults=faults, codes=replace(found.codes, table=CODES, values={"ward": 30, "<b>": 1})),
            audited.next_step,
        ),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def chromium(report):
    with opened(report) as driver:
        yield driver


@pytest.fixture
def page(chromium, report):
    show(chromium, 1280)
    chromium.get(report.as_uri())
    return chromium


# Rows of a table that are shown.
ROWS = "[...document.querySelectorAll(arguments[0] + ' tbody tr:not([hidden])')]"
COLUMN = f"return {ROWS}.map(row => row.cells[(arguments[1] + row.cells.length) % row.cells.length].textContent)"


def texts(page, table, column):
    """What a column of a table says; -1 is the last."""
    return page.execute_script(COLUMN, table, column)


def find(page, selector):
    return page.find_element("css selector", selector)


# --- what it says -----------------------------------------------------------------------------------------------------------


def test_what_is_plausible_comes_first(report):
    text = report.read_text(encoding="utf-8")
    sections = re.findall(r'<section aria-labelledby="(\w+)"', text)
    assert sections[:5] == ["verdict", "ranges", "faults", "codes", "horizon"]
    assert re.findall(r'<a href="#(\w+)"', text) == sections


def test_pictures_of_ranges_tell_the_table(audited, report):
    text = report.read_text(encoding="utf-8")
    (body,) = re.findall(r'<table id="ranges-pictures">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    rows = body.split("<tr>")[1:]
    assert len(rows) == len(HOSTILE)
    table = audited.ranges
    stated = next(row for row in rows if "img src" in row)
    assert re.findall(r"<span>(.*?)</span>", stated) == ["-500", "500"]
    ends = table.where(feature=HOSTILE[1])
    assert re.findall(r">(\d+)%</td>", stated) == [f"{100 * share:.0f}" for share in ends["sure"]]
    # From where on rows are sure, on a bar of 100 from end to end.
    places = re.findall(r'class="sure" x="([\d.]+)" width="([\d.]+)"', stated)
    expected = []
    for towards, value in zip(ends["towards"], ends["sure_from"], strict=True):
        if not np.isnan(value):
            at = (value + 500) / 10
            expected.append((at, 100 - at) if towards > 0 else (0, at))
    np.testing.assert_allclose(np.array(places, dtype=float).reshape(-1, 2), np.reshape(expected, (-1, 2)), atol=0.06)
    half = next(row for row in rows if "taken" in row and "src=x" not in row)
    assert re.findall(r"<span>(.*?)</span>", half) == ["-10", "open"]


def test_the_list_of_faults_is_capped_and_has_the_worst(audited):
    found = audited._found.faults
    count = 1200
    rng = np.random.default_rng(0)
    columns = {name: rng.random(count) for name, values in found.table.columns.items() if values.dtype.kind == "f"}
    columns |= {
        "feature": np.array([f"c{k // 12}" for k in range(count)]),
        "fault": np.array([f"f{k % 12}" for k in range(count)]),
    }
    order = rng.permutation(count)
    many = replace(found, table=Table(columns), order=order)
    page = shown(many)
    assert [(row["feature"], row["fault"]) for row in page["rows"]] == [(f"c{k // 12}", f"f{k % 12}") for k in order[:1000]]
    assert page["matrix"].left == 40
    assert page["matrix"].kinds == [
        f"f{k}" for k in sorted({*range(12)}, key=lambda k: int(np.flatnonzero(np.arange(count) % 12 == k)[0]))
    ]
    text = render(replace(audited._found, faults=many), audited.next_step)
    assert "1,000 of 1,200 faults, the worst" in text
    assert "60 of 100 columns" in text
    # Each place of the picture is that of its column and fault, in thousandths.
    cells = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["faults"]["cells"]
    for name in ("sure", "changed", "refused, entropy", "refused, unfamiliarity"):
        for (k, kind), cell in zip(np.ndindex(60, 12), cells[name], strict=True):
            place = columns["feature"].tolist().index(page["matrix"].features[k]) + kind
            assert cell == round(1000 * columns[name][place])


def test_what_happens_once_is_left_to_the_list(audited):
    found = audited._found.faults
    names = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("a and b", "swapped"), ("all", "shuffled"), ("all", "turned")]
    numbers = {name: np.zeros(7) for name, values in found.table.columns.items() if values.dtype.kind == "f"}
    table = Table({"feature": np.array([a for a, _ in names]), "fault": np.array([b for _, b in names])} | numbers)
    matrix = shown(replace(found, table=table, order=np.arange(7)[::-1]))["matrix"]
    assert (matrix.features, matrix.kinds) == (["b", "a"], ["x", "y"])
    np.testing.assert_array_equal(matrix.places, [[2, 3], [0, 1]])
    alone = shown(replace(found, table=table.take(np.array([0, 2])), order=np.arange(2)))["matrix"]
    assert (alone.features, alone.kinds) == (["a", "b"], ["x"])


def test_long_names_are_cut_and_told_apart(report):
    text = report.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    names = [column["name"] for column in data["columns"]]
    assert len({*names}) == len(HOSTILE)
    assert max(map(len, names)) < 110
    assert all(re.search(r"… \(\d+\)$", name) for name in names if name.startswith("long"))
    assert {*data["ranges"]} == {*names}


# --- in a browser -----------------------------------------------------------------------------------------------------------


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_the_light_and_in_the_dark(page, scheme):
    show(page, 1280, scheme)
    assert browser.faint_text(page) == []
    assert browser.faint_marks(page) == []
    # All that a picture can show.
    page.execute_script(
        """
        const menu = document.getElementById('matrix-shown');
        menu.value = 'changed';
        menu.dispatchEvent(new Event('change'));
        for (const button of document.querySelectorAll('#scores [aria-pressed=false]')) button.click();
        """
    )
    assert browser.faint_text(page) == []
    assert browser.faint_marks(page) == []


@needs_browser
def test_it_can_be_heard(page):
    assert browser.nameless(page) == []
    assert browser.wordless_pictures(page) == []
    assert browser.skipped_headings(page) == []
    assert browser.untold_cells(page) == []
    assert page.execute_script("return document.documentElement.lang") == "en"
    assert page.execute_script("return document.querySelectorAll('main').length") == 1
    # What changes where somebody points says so.
    assert page.execute_script("return [...document.querySelectorAll('output')].length") == 2
    assert "0.99 or more in" in find(page, "#disc").get_attribute("aria-label")


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
def test_it_is_no_wider_than_the_screen(page, width):
    show(page, width)
    assert browser.too_wide(page) == []


@needs_browser
def test_nothing_moves_by_itself(page):
    assert page.execute_script("return document.getAnimations().length") == 0
    moving = "[...document.querySelectorAll('*')].filter(n => getComputedStyle(n).transitionDuration !== '0s').length"
    assert page.execute_script(f"return {moving}") == 0


@needs_browser
def test_names_that_mean_harm_do_none(page):
    assert page.title.startswith("Far-field audit")
    assert page.execute_script("return document.querySelectorAll('script').length") == 2
    assert page.execute_script("return document.querySelectorAll('img, b').length") == 0
    # Each is a row that draws its own column.
    names = texts(page, "#ranges-pictures", 0)
    assert len({*names}) == len(HOSTILE)
    drawn = set()
    for k, name in enumerate(names):
        page.execute_script("document.querySelectorAll('#ranges-pictures .choose')[arguments[0]].click()", k)
        assert find(page, "#range-pick").get_attribute("value") == name
        drawn.add(page.execute_script("return document.querySelector('#range-curve [data-series=model]').getAttribute('d')"))
        # Its own curve: the medians of the model at the places that lie inside.
        data = page.execute_script("return JSON.parse(document.getElementById('data').textContent)")
        own = next(i for i, column in enumerate(data["columns"]) if column["name"] == name)
        packed = np.frombuffer(base64.b64decode(data["curves"][0]["confidence"]), "<u2") / 65535
        medians = packed.reshape(len(HOSTILE), len(data["places"]), 3)[own, :, 1]
        path = page.execute_script("return document.querySelector('#range-curve [data-series=model]').getAttribute('d')")
        heights = [float(y) for y in re.findall(r" ([\d.]+)", path)][1:-1]
        expected = 294 - (medians - 1 / 3) / (2 / 3) * (294 - 16)
        starts = range(len(expected) - len(heights) + 1)
        assert any(np.allclose(expected[k : k + len(heights)], heights, atol=0.06) for k in starts)
    assert len(drawn) == len(HOSTILE)


@needs_browser
def test_tables_are_sorted_and_rows_chosen_by_keys(page):
    from selenium.webdriver.common.keys import Keys

    heading = find(page, "#ranges-table thead th:nth-child(4)")
    button = find(page, "#ranges-table thead th:nth-child(4) button")
    for key, order in ((Keys.ENTER, "descending"), (Keys.SPACE, "ascending")):
        button.send_keys(key)
        assert heading.get_attribute("aria-sort") == order
        shares = [int(text.rstrip("%")) for text in texts(page, "#ranges-table", 3)]
        assert shares == sorted(shares, reverse=order == "descending")
    assert len(page.find_elements("css selector", "#ranges-table [aria-sort]")) == 1

    # One stop of Tab in a table; arrows go from row to row.
    assert len(page.find_elements("css selector", "#features .choose:not([tabindex='-1'])")) == 1
    find(page, "#features .choose:not([tabindex='-1'])").send_keys(Keys.HOME, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    third = page.switch_to.active_element
    assert third.text == find(page, "#features tbody tr:nth-child(3) .choose").text
    third.send_keys(Keys.ENTER)
    assert third.get_attribute("aria-pressed") == "true"
    assert find(page, "#pick").get_attribute("value") == third.get_attribute("textContent")
    third.send_keys(Keys.END)
    assert page.execute_script("return document.activeElement.closest('tr').nextElementSibling") is None


@needs_browser
def test_faults_are_found_by_keys(page, audited):
    from selenium.webdriver.common.keys import Keys

    total = len(audited.faults)
    assert find(page, "#faults-count").text == f"{min(total, 50)} of {total} shown"
    find(page, "#faults-find").send_keys("PROTO times 10")
    kinds = texts(page, "#faults-table", 1)
    expected = [
        words
        for name, words in zip(audited.faults["feature"], audited.faults["fault"], strict=True)
        if "proto" in name.lower() and "times" in words and "10" in words
    ]
    assert sorted(kinds) == sorted(expected)
    assert find(page, "#faults-count").text == f"{len(expected)} of {len(expected)} shown"
    find(page, "#faults-find").send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    find(page, "#faults-kind").send_keys("sign flipped", Keys.ENTER)
    assert {*texts(page, "#faults-table", 1)} == {"sign flipped"}

    # What any score refuses, from the table.
    find(page, "#faults-score").send_keys("max prob", Keys.ENTER)
    refused = dict(zip(texts(page, "#faults-table", 0), texts(page, "#faults-table", -1), strict=True))
    assert find(page, "#faults-table thead th:last-child").text == "Refused, max prob"
    row = audited.faults.where(feature="__proto__", fault="sign flipped")
    assert refused["__proto__"] == f"{100 * row['refused, max_prob'][0]:.0f}%"

    # A column of the picture lists its faults.
    find(page, "#faults-kind").send_keys("all", Keys.ENTER)
    chosen = next(one for one in page.find_elements("css selector", "#matrix .choose") if one.text == "__proto__")
    chosen.send_keys(Keys.ENTER)
    assert {*texts(page, "#faults-table", 0)} == {name for name in {*audited.faults["feature"]} if "__proto__" in name}
    # And what it shows is said in numbers.
    find(page, "#matrix-shown").send_keys("rows whose", Keys.ENTER)
    kinds = [one.get_attribute("textContent") for one in page.find_elements("css selector", "#matrix thead th")]
    cells = dict(zip(kinds, [cell.text for cell in chosen.find_elements("xpath", "ancestor::tr/*")], strict=True))
    own = audited.faults.where(feature="__proto__")
    changed = {fault: f"{100 * share:.0f}" for fault, share in zip(own["fault"], own["changed"], strict=True)}
    assert {kind: cell for kind, cell in cells.items() if kind != "Column" and cell} == {
        kind: "-" if changed[kind] == "nan" else changed[kind] for kind in kinds if kind in changed
    }
    assert len({*cells.values()}) > 3


@needs_browser
def test_the_plane_is_read_by_keys(page):
    from selenium.webdriver.common.keys import Keys

    plane = find(page, "#disc-keys")
    plane.send_keys(Keys.HOME)
    middle = find(page, "#disc-readout").text
    assert "(0 sd)" in middle
    plane.send_keys(Keys.ARROW_RIGHT)
    assert find(page, "#disc-readout").text != middle
    for _ in range(12):
        plane.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    assert find(page, "#disc-readout").text.startswith("at infinity\nlimit")


@needs_browser
def test_tab_goes_through_the_whole_page_and_is_seen(page):
    from selenium.webdriver.common.keys import Keys

    stops = page.execute_script(
        """
        const nodes = [...document.querySelectorAll('a, button, select, input, [tabindex]')];
        window.met = new Set();
        return nodes.filter((node) => node.tabIndex >= 0 && node.checkVisibility()).length;
        """
    )
    assert stops > 60
    for _ in range(stops):
        page.switch_to.active_element.send_keys(Keys.TAB)
        seen = page.execute_script(
            """
            const node = document.activeElement, style = getComputedStyle(node);
            window.met.add(node);
            return node.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
            """
        )
        assert seen, page.switch_to.active_element.get_attribute("outerHTML")[:200]
    assert page.execute_script("return window.met.size") == stops


@needs_browser
def test_it_is_printed_whole(page, audited):
    show(page, browser.PAPER, "dark", "print")
    assert browser.too_wide(page) == []
    assert browser.faint_text(page) == []
    assert browser.faint_marks(page) == []
    frames = page.find_elements("css selector", ".scroll")
    for size in ("Height", "Width"):
        assert all(one.get_property(f"scroll{size}") <= one.get_property(f"client{size}") + 1 for one in frames)
    # What can be chosen stands there as a word; all else that is for hands is gone.
    assert not any(one.is_displayed() for one in page.find_elements("css selector", "input, nav, .hands"))
    assert page.execute_script("return getComputedStyle(document.getElementById('pick')).appearance") == "none"
    show(page, 1280)
    text = browser.printed(page)

    def said(words):
        return re.sub(r"\s", "", words) in text

    assert said(audited.verdict[-1])
    for caption in (
        "Both ends of each range",
        "Faults, the worst",
        "Columns to infinity",
        "Scores by distance",
        "Rows that have it",
    ):
        assert said(caption), caption
    assert text.count("__proto__") > 6
    assert said('kl.export(guard, "guarded.onnx")')
