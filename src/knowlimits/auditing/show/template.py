"""Templates of pages: each becomes one HTML file that needs nothing else, with its styles, program and numbers inside."""

import base64
import json
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from knowlimits.auditing.show.labels import label, percent


def fill(template: str, data: dict[str, Any], **values: Any) -> str:
    """A page as text.

    Args:
        template: a file of page/ that extends layout.html.
        data: what its program draws, as JSON can have it.
        **values: what the template speaks of: a `title` and a `kind`, and its own.
    """
    environment = Environment(
        loader=PackageLoader("knowlimits.auditing.show", "page"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["label"], environment.filters["percent"] = label, percent
    environment.globals["text"] = _text
    return environment.get_template(template).render(data=_json(data), **values).lstrip()


def packed(values: np.ndarray) -> str:
    """Numbers from 0 to 1 as base64 of unsigned 16-bit integers, the low byte first, as `unpack` of tools.js takes them."""
    return base64.b64encode((np.clip(values, 0, 1) * 65535).round().astype("<u2").tobytes()).decode()


def _text(name: str) -> Markup:
    """A file of styles, or of the program, as it is."""
    return Markup((files("knowlimits.auditing.show") / "page" / name).read_text(encoding="utf-8"))


def _json(value: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
