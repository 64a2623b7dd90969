"""The audit in a notebook: safe and small whatever columns are called, in whatever colours the notebook has."""

from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn

import knowlimits as kl

EVIL = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</table></div>", "{{ 7 * 7 }}", "plain", "ωμέγα & 'co'"]


def network(columns):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(columns, 8), nn.ReLU(), nn.Linear(8, 3))


def audit(names, **options):
    X = np.random.default_rng(0).normal(size=(60, len(names)))
    return kl.audit(network(len(names)), X, feature_names=names, **options)


class Elements(HTMLParser):
    """Elements with their attributes, and the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.texts = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data))


@pytest.fixture(scope="module")
def audited():
    return audit(EVIL)


def test_the_verdict_and_the_worst_are_there(audited):
    texts = Elements(audited._repr_html_()).texts
    assert [text for tag, text in texts if tag == "li"] == list(audited.verdict)
    cells = [text for tag, text in texts if tag in ("th", "td")]
    order = audited._found.faults.order
    worst = audited.faults.take(order[:1])
    assert f"{worst['sure'][0]:.0%}" in cells
    assert worst["fault"][0] in cells
    first = audited.features.take(audited._found.features.order[:1])
    assert f"{first['confidence'][0]:.3f}" in cells
    captions = [text for tag, text in texts if tag == "em"]
    assert captions == [
        f"Faults in the data, the most dangerous first (8 of {len(audited.faults)})",
        "Columns to infinity, the surest first (8 of 12 ways)",
    ]


def test_nothing_runs_is_fetched_or_has_a_colour_of_its_own(audited):
    elements = Elements(audited._repr_html_())
    allowed = {"div", "p", "strong", "ul", "li", "table", "caption", "em", "thead", "tbody", "tr", "th", "td", "code"}
    assert {tag for tag, _ in elements.found} <= allowed
    for _, attributes in elements.found:
        assert set(attributes) <= {"style", "scope"}
        assert attributes.get("style", "text-align: left").startswith("text-align: ")
    # As text, cut where it is long.
    assert any(text.startswith("<script>alert(1)</s") for tag, text in elements.texts if tag == "th")


def test_without_faults_there_are_columns_alone():
    texts = Elements(audit(["a", "b"], faults=())._repr_html_()).texts
    assert [text for tag, text in texts if tag == "em"] == ["Columns to infinity, the surest first (4 of 4 ways)"]


def test_it_stays_small(audited):
    assert len(audited._repr_html_().encode()) < 20_000
    long = audit([f"{'<&>' * 2000}{k}" for k in range(12)])
    text = long._repr_html_()
    assert len(text.encode()) < 20_000
    Elements(text)
    assert any(data.endswith("...") for tag, data in Elements(text).texts if tag == "li")
