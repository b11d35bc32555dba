"""The report for LaTeX: whole tables and figures, and no name that LaTeX would obey."""

import re
import shutil
import subprocess

import fabricated
import numpy as np
import pytest
from commandline import run_bcjax

from bcjax.reports.pages import latex
from bcjax.reports.pages.page import Table

CLASSES = ("50%_a & b", "$x$ #1", "{~^\\} [z]")
_SIZED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
_NEXT_COLUMN = r"(?<!\\)&"


def check_syntax(text):
    """Checks what a compiler checks first: braces, environments, columns, special characters."""
    text = re.sub(r"(?m)(?<!\\)%.*$", "", text.replace(_SIZED, "{"))
    depth = 0
    for sign in re.findall(r"(?<!\\)[{}]", text.replace("\\\\", "")):
        depth += 1 if sign == "{" else -1
        assert depth >= 0
    assert depth == 0
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    for columns, body in re.findall(
        r"\\begin\{(?:tabular|longtable)\}\{([lr]+)\}(.*?)\\end\{(?:tabular|longtable)\}",
        text,
        re.DOTALL,
    ):
        rows = [row for row in body.split("\\\\\n") if re.search(_NEXT_COLUMN, row)]
        assert rows
        assert all(len(re.findall(_NEXT_COLUMN, row)) == len(columns) - 1 for row in rows)
    for inside in re.findall(r"\\caption\{(.*)\}\\label", text):
        assert not re.search(r"(?<!\\)[&%$#_^~]", inside)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder that `bcjax report --latex` wrote about a run whose classes have vile names."""
    about = {"cautions": ["49 of 70 pictures trained runs/d_1."]}
    workdir = fabricated.run(
        tmp_path_factory.mktemp("latex") / "run",
        fabricated.answers(np.arange(60) % 7 > 0, classes=CLASSES),
        about=about,
    )
    ran = run_bcjax("report", f"--workdir={workdir}", "--latex")
    assert ran.status == 0, ran.err
    assert f"LaTeX: {workdir / 'latex' / 'report.tex'}" in ran.out
    return workdir / "latex"


def test_every_file_is_well_formed_and_the_document_includes_them_all(written):
    for path in written.glob("*.tex"):
        check_syntax(path.read_text())
    document = (written / "report.tex").read_text()
    tables = set(re.findall(r"\\input\{(\w+)\}", document))
    assert tables == {"metrics", "classes", "confusion", "costs"}
    figures = set(re.findall(r"\\includegraphics\{([\w.]+)\}", document))
    assert {"network.pdf", "roc.pdf", "confusion_counts.pdf"} <= figures
    expected = {"report.tex", *figures, *(f"{name}.tex" for name in tables)}
    assert {path.name for path in written.iterdir()} == expected
    assert all((written / name).read_bytes().startswith(b"%PDF") for name in figures)


def test_the_tables_are_those_of_the_report(written):
    report = (written.parent / "report.md").read_text()
    (line,) = [line for line in report.splitlines() if line.startswith("| balanced accuracy |")]
    name, value, interval, how, n = line.strip("| ").split(" | ")
    expected = f"{name} & {value} & {interval.replace(' - ', '--')} & {how} & {n} \\\\"
    assert expected in (written / "metrics.tex").read_text()
    assert "macro average & 60 &" in (written / "classes.tex").read_text()
    assert r"50\%\_a \& b & 17 & 3 & 0 \\" in (written / "confusion.tex").read_text()
    assert "latency p50 &" in (written / "costs.tex").read_text()


def test_cautions_stand_in_the_document_and_with_every_table_of_figures(written):
    for name in ("report", "metrics", "classes", "confusion"):
        assert (
            r"Caution: 49 of 70 pictures trained runs/d\_1" in (written / f"{name}.tex").read_text()
        )


def test_without_the_flag_there_is_no_such_folder(tmp_path):
    workdir = fabricated.run(tmp_path / "run", fabricated.answers(np.arange(60) % 7 > 0))
    assert run_bcjax("report", f"--workdir={workdir}").status == 0
    assert not (workdir / "latex").exists()


@pytest.mark.parametrize("rows", [3, 60])
def test_a_long_table_goes_over_several_pages(rows):
    head, body = ["class", "n"], [[f"class_{i}", "-"] for i in range(rows)]
    text = latex.table(Table(head, body, "Many & few"), "many")
    check_syntax(text)
    assert text.count(r"class\_") == rows
    assert (r"\begin{longtable}{lr}" in text) is (rows > 40)
    assert r"\caption{Many \& few.}\label{tab:many}" in text
    assert r"class\_0 & --" in text


def test_special_characters_are_set_as_they_are():
    assert latex.escape("a_b & 5% $x$ #1 {c} ~ ^ \\ <|>") == (
        r"a\_b \& 5\% \$x\$ \#1 \{c\} \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"\textless{}\textbar{}\textgreater{}"
    )
    assert latex.escape("0.91 - 0.95") == "0.91--0.95"
    assert latex.escape("two\nlines\x07") == "two lines "


_COMPILER = next(filter(shutil.which, ("tectonic", "pdflatex")), None)


@pytest.mark.slow
@pytest.mark.skipif(_COMPILER is None, reason="no LaTeX here")
def test_the_document_compiles(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "latex")
    flags = ["-interaction=nonstopmode", "-halt-on-error"] if _COMPILER == "pdflatex" else []
    subprocess.run([_COMPILER, *flags, "report.tex"], cwd=folder, check=True, capture_output=True)
    assert (folder / "report.pdf").exists()
