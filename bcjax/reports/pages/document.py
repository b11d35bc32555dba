"""Pages from templates, and how they reach the disk."""

import os
from pathlib import Path

import jinja2


def environment(package: str) -> jinja2.Environment:
    """Returns what renders a package's `templates/`, and those here, such as `base.css`.

    What is put into `.html` is escaped, into other files not.
    """
    loaders = [jinja2.PackageLoader(name) for name in (package, "bcjax.reports.pages")]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write(text: str, out: Path) -> int:
    """Writes a page, whole or not at all, and returns its bytes."""
    encoded = text.encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_bytes(encoded)
    os.replace(partial, out)
    return len(encoded)
