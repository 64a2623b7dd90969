"""Parameters are documented where they are declared: the docstring of a subclass gets those of its base."""

import inspect
import re

_SECTION = "Args:"


def inherit_args(doc: str | None, base: str | None) -> str | None:
    """A docstring with the entries of its base's `Args` before its own, which win where both have one.

    Args:
        doc: the docstring of a class, in Google's style; None stays None.
        base: that of its base.
    """
    if doc is None or base is None:
        return doc
    before, own, after = _split(doc)
    entries = {**_split(base)[1], **own}
    return "\n".join([before, "", _SECTION, *entries.values(), after]).strip() + "\n"


def _split(doc: str) -> tuple[str, dict[str, str], str]:
    """What stands before the section, its entries by names, and what stands behind."""
    before, _, section = f"{inspect.cleandoc(doc)}\n".partition(f"\n{_SECTION}\n")
    # It ends with the next line that is not indented.
    end = re.search(r"^(?=\S)", section, re.MULTILINE)
    body, after = (section[: end.start()], section[end.start() :]) if end else (section, "")
    found = re.split(r"^ {4}(?=\S)", body.rstrip(), flags=re.MULTILINE)[1:]
    return before.strip(), {entry.partition(":")[0]: f"    {entry.rstrip()}" for entry in found}, after and f"\n{after}"
