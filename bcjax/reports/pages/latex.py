"""Tables and figures of a page as LaTeX: booktabs, and a document that compiles."""

import re
from collections.abc import Sequence

from bcjax.reports.pages.page import Chart, Table

_ESCAPED = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
_LONG = 40  # rows that fit a page
# At its own size, unless it is wider than the text.
_FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"

_PREAMBLE = r"""% Written by bcjax report --latex, for pdflatex, xelatex, lualatex or tectonic.
\documentclass[a4paper]{article}
\usepackage{iftex}
\ifPDFTeX
  \usepackage[T1]{fontenc}
  \usepackage[utf8]{inputenc}
\else
  \usepackage{fontspec}
\fi
\usepackage[margin=2.5cm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{longtable}
"""


def escape(text: str) -> str:
    """Returns text that LaTeX sets as it is: special characters escaped, "0.9 - 1.0" as a range."""
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    escaped = "".join(_ESCAPED.get(sign, sign) for sign in printable)
    return re.sub(r"(?<=\d) - (?=\d)", "--", escaped)


def table(shown: Table, label: str) -> str:
    r"""Returns a table with its caption: on one page, or over several pages if it has many rows.

    Args:
      shown: The table.
      label: What `\ref{tab:...}` names it by, of letters, digits and hyphens.
    """
    columns = "".join("l" if i < shown.text_columns else "r" for i in range(len(shown.head)))
    head = f"{_row(shown.head)}\n\\midrule"
    body = "\n".join(map(_row, shown.rows))
    caption = f"\\caption{{{escape(shown.caption)}.}}\\label{{tab:{label}}}"
    if len(shown.rows) > _LONG:
        return (
            f"\\begin{{longtable}}{{{columns}}}\n{caption}\\\\\n\\toprule\n{head}\n\\endfirsthead\n"
            f"\\toprule\n{head}\n\\endhead\n\\bottomrule\n\\endfoot\n{body}\n\\end{{longtable}}\n"
        )
    return (
        f"\\begin{{table}}[htbp]\n\\centering\n{caption}\n{_FITTED}\n\\begin{{tabular}}{{{columns}}}\n"
        f"\\toprule\n{head}\n{body}\n\\bottomrule\n\\end{{tabular}}}}\n\\end{{table}}\n"
    )


def figure(chart: Chart, file: str) -> str:
    """Returns a figure that shows a file, with the chart's title and caption below it.

    Args:
      chart: The chart.
      file: Name of its image, beside the document.
    """
    caption = ". ".join(filter(None, (chart.title, chart.caption.rstrip("."))))
    return (
        f"\\begin{{figure}}[htbp]\n\\centering\n{_FITTED}\n\\includegraphics{{{file}}}}}\n"
        f"\\caption{{{escape(caption)}.}}\\label{{fig:{chart.name.replace('_', '-')}}}\n"
        "\\end{figure}\n"
    )


def document(title: str, about: Sequence[str], parts: Sequence[str]) -> str:
    """Returns a whole document.

    Args:
      title: Its title, as plain text.
      about: Paragraphs below the title, as plain text.
      parts: What follows, as LaTeX.
    """
    paragraphs = "\n\n".join(map(escape, about))
    return (
        f"{_PREAMBLE}\\title{{{escape(title)}}}\n\\date{{}}\n\n\\begin{{document}}\n\\maketitle\n\n"
        f"{paragraphs}\n\n" + "\n".join(parts) + "\\end{document}\n"
    )


def _row(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(_cell, cells))} \\\\"


def _cell(text: str) -> str:
    if text == "-":  # what is undefined
        return "--"
    # A row must not begin with what the command before it would take for an argument.
    escaped = escape(text)
    return f"{{}}{escaped}" if escaped.startswith(("[", "*")) else escaped
