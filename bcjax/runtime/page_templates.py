"""The templates of pages that people read, and the style that all of them share."""

import jinja2


def environment(*packages: str) -> jinja2.Environment:
    """Returns a Jinja environment that escapes values in `.html` templates.

    Args:
      *packages: Packages whose `templates/` are found, besides the shared `page.css` here.
    """
    loaders = [jinja2.PackageLoader(name) for name in (*packages, "bcjax.runtime")]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
