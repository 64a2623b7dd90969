"""The page of a comparison: one file with all numbers of the table, for everybody, whatever candidates are called."""

import json
import re

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import knowlimits as kl
from tests.auditing import browser
from tests.auditing.browser import needs_browser, opened, show

COLUMNS = ["</script><b>", '"><img src=x onerror=alert(1)>', "ωμέγα", "long " * 60]
CANDIDATES = ["plain", "</script><script>alert(1)</script>", "{{ 7 * 7 }} & 'co'", "another rather long name " * 8]
X = np.random.default_rng(0).normal(size=(150, 4)) * [1, 10, 100, 1]
Y = np.where(X[:, 0] + X[:, 1] / 10 > 0, "</td>yes", "no")


@pytest.fixture(scope="module")
def compared():
    fitted = [model.fit(X, Y) for model in (LogisticRegression(), GaussianNB(), HistGradientBoostingClassifier(max_iter=5))]
    models = dict(zip(CANDIDATES, [*fitted, fitted[0]], strict=True))
    return kl.compare(models, X, Y, feature_names=COLUMNS, X_test=X[:40] + 0.1, y_test=Y[:40])


@pytest.fixture(scope="module")
def path(compared, tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "compare.html"
    compared.to_html(path)
    return path


@pytest.fixture(scope="module")
def chromium(path):
    with opened(path) as driver:
        yield driver


@pytest.fixture
def page(chromium, path):
    show(chromium, 1280)
    chromium.get(path.as_uri())
    return chromium


def test_it_is_one_small_file_whatever_candidates_are_called(path):
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 2_000_000
    assert len(re.findall(r"<script\b", text)) == 2
    assert not re.findall(r"<(img|b|link(?! rel=\"icon\" href=\"data:,\"))\b", text)
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "default-src 'none'" in text
    assert "{{ 7 * 7 }}" in text
    assert re.findall(r'<section aria-labelledby="(\w+)"', text) == ["verdict", "candidates", "planes", "faults", "methods"]


def test_six_candidates_of_many_columns_fit(tmp_path):
    wide = np.random.default_rng(0).normal(size=(40, 60))
    model = GaussianNB().fit(wide, wide[:, 0] > 0)
    found = kl.compare({f"candidate {k}": model for k in range(10)}, wide, wide[:, 0] > 0, max_rows=20)
    found.to_html(tmp_path / "wide.html")
    assert (tmp_path / "wide.html").stat().st_size < 2_000_000
    assert f"200 of {len(found.faults) // 10:,} faults" in (tmp_path / "wide.html").read_text()


def cells(page, table, column):
    script = "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map(r => r.cells[arguments[1]].textContent)"
    return page.execute_script(script, table, column)


def headings(page, table):
    return page.execute_script(
        "return [...document.querySelectorAll(arguments[0] + ' thead th')].map(h => h.textContent)", table
    )


def sort(page, table, column):
    page.execute_script("document.querySelectorAll(arguments[0] + ' thead button')[arguments[1]].click()", table, column)


@needs_browser
def test_the_table_sorts(page, compared):
    names = headings(page, "#candidates-table")
    at = names.index("Sure, columns")
    shown = [f"{share:.1%}" for share in compared.table["sure_features"]]
    assert cells(page, "#candidates-table", at) == shown
    sort(page, "#candidates-table", at)
    order = np.argsort(-compared.table["sure_features"], kind="stable")
    assert cells(page, "#candidates-table", at) == [shown[k] for k in order]
    sort(page, "#candidates-table", at)
    assert cells(page, "#candidates-table", at) == sorted(shown, key=lambda share: float(share[:-1]))
    found = page.execute_script(
        "return [...document.querySelectorAll('#candidates-table [aria-sort]')].map(h => h.ariaSort + h.cellIndex)"
    )
    assert found == [f"ascending{at}"]
    kinds = cells(page, "#candidates-table", 0)
    assert all(any(name.strip() in kind for kind in kinds) for name in CANDIDATES)


@needs_browser
def test_faults_by_candidates(page, compared):
    assert [name.strip() for name in headings(page, "#faults-table")[2:]] == [name.strip() for name in CANDIDATES]
    rows = compared.faults.rows()
    count = len(rows) // len(CANDIDATES)

    def shown(what, k):
        """What a column says, in the order of the table of the comparison."""
        shares = [row[what] for row in rows[k :: len(CANDIDATES)][:200]]
        # As JavaScript rounds halves, or as Python does; a dash where a candidate answers none of the rows.
        tenths = [None if np.isnan(share) else round(1000 * share) / 10 for share in shares]
        return [{"-"} if share is None else {f"{share:.0f}", str(int(share + 0.5))} for share in tenths]

    for what in ("sure", "changed", "refused", "refused_guard", "sure"):
        page.execute_script(
            "const s = document.getElementById('faults-shown'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))",
            what,
        )
        for k in range(len(CANDIDATES)):
            told = cells(page, "#faults-table", 2 + k)
            assert len(told) == min(count, 200)
            assert all(text in choices for text, choices in zip(told, shown(what, k), strict=True)), (what, k)
    sort(page, "#faults-table", 3)
    told = cells(page, "#faults-table", 3)
    numbers = [int(text) for text in told if text != "-"]
    assert numbers == sorted(numbers, reverse=True)
    assert "-" not in told[: len(numbers)]


@needs_browser
def test_each_disc_tells_its_limits(page, compared, path):
    data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL).group(1))
    assert len(data["discs"]) == len(CANDIDATES)
    assert len({json.dumps(disc["axes"]) for disc in data["discs"]}) == 1
    for k, disc in enumerate(compared._found.discs.values()):
        read = page.execute_script(
            """
            const canvas = document.getElementById(arguments[0]), box = canvas.getBoundingClientRect();
            canvas.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + box.width * (0.5 + 0.45 + 0.02),
                clientY: box.top + box.height / 2 - 1}));
            return document.getElementById(arguments[0] + '-readout').textContent;
            """,
            f"disc-{k}",
        )
        assert float(re.search(r"limit ([\d.]+)", read).group(1)) == pytest.approx(disc.limits[0], abs=2e-3)
    painted = page.execute_script(
        """
        return [...document.querySelectorAll('.plane canvas')].map((canvas) =>
            canvas.getContext('2d').getImageData(340, 340, 1, 1).data[3]);
        """
    )
    assert painted == [255] * len(CANDIDATES)


@needs_browser
@pytest.mark.parametrize(
    ("width", "scheme", "media"),
    [(1280, "light", ""), (390, "dark", ""), (390, "light", ""), (browser.PAPER, "light", "print")],
)
def test_it_is_for_everybody(page, width, scheme, media):
    show(page, width, scheme, media)
    for wrong in (
        browser.faint_text,
        browser.faint_marks,
        browser.skipped_headings,
        browser.nameless,
        browser.wordless_pictures,
    ):
        assert wrong(page) == [], wrong.__name__
    assert browser.untold_cells(page) == []
    if not media:
        assert browser.too_wide(page) == []


@needs_browser
def test_it_is_used_by_keys(page):
    """Headings, the choice of what is shown, the frames that scroll and the planes can all be reached."""
    reached = page.execute_script(
        """
        const found = [...document.querySelectorAll('button, select, [tabindex="0"]')].filter((one) => one.tabIndex === 0);
        return found.map((one) => one.id || one.tagName);
        """
    )
    assert "faults-shown" in reached
    assert reached.count("BUTTON") == sum(len(headings(page, table)) for table in ("#candidates-table", "#faults-table"))
    assert [f"disc-{k}-keys" in reached for k in range(len(CANDIDATES))] == [True] * len(CANDIDATES)
