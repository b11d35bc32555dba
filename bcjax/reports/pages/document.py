"""Pages from templates."""

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
