"""The report of an audit: one safe, small file, and what it does in a browser."""

import json
import pickle
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from torch import nn

import knowlimits as kl
from knowlimits import auditing
from knowlimits.auditing.find.subject import read_subject
from tests.auditing.browser import needs_browser, opened

EVIL = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script><b>", "{{ 7 * 7 }}", "plain", "ωμέγα & 'co'"]
X = np.random.default_rng(0).normal(size=(120, 6)) * [1, 10, 100, 1, 1, 1]
LABELS = np.array(["a</script>", "b", "c"])[np.arange(120) % 3]

CHOSEN = "return [...document.querySelectorAll('#features [aria-pressed=true]')].map(button => button.textContent)"
# Where the ring round the disc crosses its horizontal, as a share of the picture's width.
RIM = 0.5 + 0.44 + 0.035
# Point at a place of the disc, as a share of its width and in pixels below its middle, and read what it says.
POINT = """
    const canvas = document.getElementById('disc'), box = canvas.getBoundingClientRect();
    const at = {clientX: box.left + box.width * arguments[0], clientY: box.top + box.height / 2 + arguments[1]};
    canvas.dispatchEvent(new PointerEvent('pointermove', at));
    return document.getElementById('disc-readout').textContent;
"""


def network(features, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.fixture(scope="module")
def audited():
    return kl.audit(network(6), X, LABELS, feature_names=EVIL)


@pytest.fixture(scope="module")
def report(audited, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    audited.to_html(path)
    return path


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.urls, self.texts, self.open = [], [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)
        self.urls += [value for name, value in attrs if name in ("src", "href", "action", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


def test_names_are_escaped_and_nothing_is_fetched(report):
    text = report.read_text()
    found = Elements(text)
    assert found.tags.count("script") == 2
    assert "img" not in found.tags
    assert "b" not in found.tags
    # The icon that keeps browsers from asking for one, and places of the page itself.
    assert [url for url in found.urls if not re.fullmatch(r"#[a-z]+", url)] == ["data:,"]
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "{{ 7 * 7 }}" in text
    assert "default-src 'none'" in text


def test_a_report_ends_with_what_makes_a_guarded_file(audited, report):
    lines = ("guard = kl.Guard(model).fit(X)", 'kl.export(guard, "guarded.onnx")')
    assert audited.next_step == lines
    assert str(audited).endswith("\n".join(f"    {line}" for line in lines))
    assert Elements(report.read_text()).texts["pre"][:1] == ["\n".join(lines)]
    windows = kl.audit(nn.Sequential(nn.Flatten(), network(6)), X.reshape(-1, 2, 3), LABELS, outputs="logits", max_rows=20)
    read = "kl.read(model, X=X, input_shape=(2, 3))"
    assert windows.next_step[0] == f"guard = kl.Guard({read}, outputs='logits').fit(X)"


EVALUATE = ("far_field", "horizon", "follow", "limiting_probabilities", "score")


@pytest.fixture
def without_models(monkeypatch):
    """Whatever evaluates a model fails, under every name that a module of ours has for it."""

    def fail(*_, **__):
        raise AssertionError("a model is evaluated")

    for module in [m for name, m in sys.modules.items() if name.startswith("knowlimits")]:
        for name in EVALUATE:
            if callable(getattr(module, name, None)):
                monkeypatch.setattr(module, name, fail)
    monkeypatch.setattr(nn.Module, "__call__", fail)


def test_a_report_is_drawn_without_the_model(audited, report, without_models, tmp_path):
    audited.to_html(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == report.read_bytes()
    assert str(audited) == str(audited)
    # Nor does it come with one: arrays and names alone go to another process, which draws the same.
    other = pickle.loads(pickle.dumps(audited))
    other.to_html(tmp_path / "other.html")
    assert (tmp_path / "other.html").read_bytes() == report.read_bytes()
    assert str(other) == str(audited)


def test_what_evaluates_a_model_does_fail_there(without_models):
    # Whatever a module raises is told as one line.
    with pytest.raises((AssertionError, ValueError), match="a model is evaluated"):
        kl.audit(network(6), X, LABELS)


@pytest.mark.parametrize(
    ("folder", "above"), [("find", "auditing.(show|report|check)"), ("show", "auditing.(report|check)|limits|follow|model")]
)
def test_what_is_shown_lies_above_what_is_found(folder, above):
    for path in (Path(auditing.__file__).parent / folder).glob("*.py"):
        assert not re.search(rf"(from|import) knowlimits\.({above})\b|TYPE_CHECKING", path.read_text()), path.name


def test_what_is_shared_with_the_page_are_ids(audited, report):
    text = report.read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))
    assert [(curve["id"], curve["label"]) for curve in data["curves"]] == [
        ("model", "as it is"),
        ("laplace", "last-layer Laplace"),
        ("guard", "guard"),
    ]
    assert audited.remedies["model"].tolist() == ["model", "laplace", "guard"]
    assert [score["id"] for score in data["scores"]] == audited.detection.distinct("score")
    assert {tuple(score["ways"]) for score in data["scores"]} == {("one_column", "any_direction")}
    # What has an id has a label, and the program looks for ids that are there.
    program = re.findall(r'\["([^\]]*)"\]\)', text[text.index("const picked") :])[0].split('", "')
    assert set(program) <= {score["id"] for score in data["scores"]}
    assert "unfamiliarity" in program
    (own,) = [score for score in data["scores"] if score["id"] == "unfamiliarity"]
    rows = audited.detection.where(score="unfamiliarity", way="one_column")
    assert own["label"] == "guard's unfamiliarity"
    assert own["kept"] == pytest.approx(rows["kept"][0], abs=1e-4)
    np.testing.assert_allclose(own["ways"]["one_column"]["refused"], rows["refused"], atol=1e-4)
    for values in (*audited.features.columns, *audited.remedies["model"], *audited.detection["way"]):
        assert re.fullmatch(r"[a-z0-9_]+", values)


def test_it_is_small_for_many_columns(tmp_path):
    X = np.random.default_rng(0).normal(size=(24, 310))
    found = kl.audit(network(310), X, feature_names=[f"a rather long name of a column, number {i}" for i in range(310)])
    found.to_html(tmp_path / "wide.html")
    assert (tmp_path / "wide.html").stat().st_size < 2_000_000
    assert "600 of 620 ways" in (tmp_path / "wide.html").read_text()


def test_nothing_is_overwritten(audited, report, tmp_path):
    before = report.read_bytes()
    with pytest.raises(FileExistsError, match=r"is there already\. Pass overwrite=True"):
        audited.to_html(report)
    audited.to_html(report, overwrite=True)
    assert report.read_bytes() == before
    with pytest.raises(OSError, match="nowhere"):
        audited.to_html(tmp_path / "nowhere" / "report.html")


def test_models_of_one_column_and_smooth_ones_have_a_report(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 1))
    kl.audit(network(1), X).to_html(tmp_path / "one.html")
    assert "<canvas" not in (tmp_path / "one.html").read_text()
    smooth = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))
    kl.audit(smooth, np.c_[X, X**2]).to_html(tmp_path / "smooth.html")
    assert "exact limit in every" not in " ".join((tmp_path / "smooth.html").read_text().split())


@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
def test_columns_that_move_the_network_alike_span_a_plane_of_the_table_all_the_same(tmp_path):
    # All columns move the one input of the network, so that there are two half-planes, and a line between them.
    model = make_pipeline(PCA(1), MLPClassifier((4,), max_iter=5, random_state=0)).fit(X, LABELS)
    found = kl.audit(model, X, LABELS)
    disc = found._found.disc
    assert disc.exact
    assert len(disc.arcs) == 2
    np.testing.assert_allclose(disc.arcs[:, 1] - disc.arcs[:, 0], np.pi)
    steps = found._found.columns.steps[list(disc.axes)]
    middles = disc.arcs.mean(1)
    far = np.median(X, axis=0) + 1e6 * np.stack([np.cos(middles), np.sin(middles)], axis=1) @ steps
    np.testing.assert_allclose(model.predict_proba(far).max(1), disc.limits, atol=1e-6)
    found.to_html(tmp_path / "plane.html")
    assert "<canvas" in (tmp_path / "plane.html").read_text()


def test_a_plane_with_too_many_arcs_has_directions(monkeypatch, tmp_path):
    def horizon(*_):
        raise MemoryError("max_cells must be larger for this model.")

    monkeypatch.setattr("knowlimits.auditing.find.disc.horizon", horizon)
    found = kl.audit(network(6), X, LABELS)
    disc = found._found.disc
    start, end = disc.arcs[0, 0], disc.arcs[-1, 1]
    assert not disc.exact
    assert (start, end) == pytest.approx((0, 2 * np.pi))
    found.to_html(tmp_path / "sampled.html")
    assert "limit in 720" in (tmp_path / "sampled.html").read_text()


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide", "phone"])
def page(request, report):
    with opened(report, *request.param) as driver:
        yield driver


def column(page, table, k):
    cells = "[...document.querySelectorAll(arguments[0] + ' tbody tr')].map(r => r.cells[arguments[1]])"
    script = f"return {cells}.map(c => c.dataset.v ?? c.textContent)"
    return page.execute_script(script, table, k)


@needs_browser
def test_in_a_browser(page, audited):
    # No wider than the screen.
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert page.execute_script("return document.querySelectorAll('script').length") == 2

    # Sorting by numbers, both ways, and by text.
    heading = "document.querySelectorAll('#features thead button')[{}].click()"
    page.execute_script(heading.format(6))
    settled = [float(value) for value in column(page, "#features", 6)]
    assert settled == sorted(settled, reverse=True)
    page.execute_script(heading.format(6))
    assert [float(value) for value in column(page, "#features", 6)] == sorted(settled)
    assert page.execute_script("return document.querySelectorAll('#features [aria-sort]').length") == 1
    page.execute_script(heading.format(0))
    assert set(column(page, "#features", 0)) == set(EVIL)

    # Picking a column by the menu, and by its row.
    def curve():
        return page.execute_script("return document.querySelector('#curve [data-series=model]').getAttribute('d')")

    drawn = set()
    for name in EVIL:
        page.execute_script(
            "const p = document.getElementById('pick'); p.value = arguments[0]; p.dispatchEvent(new Event('change'))", name
        )
        chosen = page.execute_script(CHOSEN)
        assert chosen == [name, name]
        drawn.add(curve())
    assert len(drawn) == len(EVIL)
    rows = "[...document.querySelectorAll('#features tbody tr')]"
    page.execute_script(f"{rows}.find(r => r.cells[0].textContent === 'plain').click()")
    assert page.execute_script("return document.getElementById('pick').value") == "plain"

    # Scores: the way of moving, and picking one out.
    ours = audited.detection.where(way="any_direction", score="entropy")["auroc"]
    page.execute_script(
        "const w = document.getElementById('way'); w.value = 'any_direction'; w.dispatchEvent(new Event('change'))"
    )
    shown = page.execute_script(
        "return [...document.querySelector('#scores tr[data-score=entropy]').cells].map(c => c.textContent)"
    )
    assert shown[1 : 1 + len(ours)] == [f"{value:.2f}" for value in ours]
    headings = page.execute_script("return [...document.querySelectorAll('#scores thead th')].map(c => c.textContent)")
    assert len(headings) == len(shown)
    assert shown[headings.index("Kept")] == f"{audited.detection.where(score='entropy')['kept'][0]:.0%}"
    page.execute_script("document.querySelector('#scores tr[data-score=vim]').click()")
    assert page.execute_script("return !!document.querySelector('#rates [data-series=vim]')")
    page.execute_script("document.querySelector('#scores tr[data-score=vim]').click()")
    assert not page.execute_script("return !!document.querySelector('#rates [data-series=vim]')")

    # The disc answers what is at a place: its middle, and its rim.
    assert "confidence" in page.execute_script(POINT, 0.5, 0)
    assert "at infinity" in page.execute_script(POINT, RIM, 0)
    dark = page.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches")
    paper = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(22, 22, 26)" if dark else "rgb(255, 255, 255)")


@needs_browser
def test_the_disc_tells_the_limits(page):
    """Right of the middle lies the first column's way up, whose limit the table has for the median row."""
    name = page.execute_script("return JSON.parse(document.getElementById('data').textContent).disc.axes[0].name")
    read = page.execute_script(POINT, RIM, -1)
    limit = float(re.search(r"limit ([\d.]+)", read).group(1))
    subject = read_subject(network(6), X, LABELS, None, None, EVIL, None, 2000, 0)
    place = subject.columns.names.index(name)
    origin = np.median(subject.rows, axis=0, keepdims=True)
    exact = kl.far_field(subject.model, origin, subject.columns.steps[[place]]).confidence()[0]
    assert limit == pytest.approx(exact, abs=0.002)
