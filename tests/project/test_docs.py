"""The pages: the site builds, and what they name exists."""

import contextlib
import functools
import importlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT, project_files

from bcjax import config as configs
from bcjax.cli import flags
from bcjax.config.table import OLD_KEYS

DOCS = ROOT / "docs"
PAGES = project_files("docs/**/*.md", "README.md", "CONTRIBUTING.md")
KEYS = configs.KEYS.keys() | OLD_KEYS  # a page may tell the name that a key had before
BRANCHES = {key.split(".")[0] for key in KEYS}
NOTEBOOKS = project_files("docs/notebooks/*.md")
FILES = r"(?<![\w./-])((?:bcjax|tests|configs|launch|benchmarks|docs|examples)/[\w./-]*[\w/])"


def each_page(test):
    return pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)(test)


@functools.cache
def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def inline(page: Path) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))


def commands() -> list[str]:
    found = [
        " ".join(line.split())
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line for line in dict.fromkeys(found) if line.startswith("bcjax ")]


def test_the_site_builds_without_a_warning_and_asks_nothing_of_other_hosts(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    loaded = r"<(?:script|img|iframe)[^>]+src=.?https?:|<link[^>]+stylesheet[^>]+https?:"
    for page in tmp_path.rglob("*.html"):
        assert not re.search(loaded, page.read_text()), page


@each_page
def test_a_path_on_a_page_exists(page):
    for path in re.findall(FILES, page.read_text()):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


@each_page
def test_a_name_of_the_library_on_a_page_exists(page):
    text = re.sub(r"```toml.*?```", "", page.read_text(), flags=re.DOTALL)
    names = re.findall(r"(?<![\w/.-])bcjax(?:\.[A-Za-z_]\w*)+", text)
    for name in dict.fromkeys(names):
        module, attributes = name, []
        while True:
            try:
                found = importlib.import_module(module)
                break
            except ModuleNotFoundError:
                module, _, attribute = module.rpartition(".")
                attributes.insert(0, attribute)
        for attribute in attributes:
            assert hasattr(found, attribute), f"{page.name} names {name}"
            found = getattr(found, attribute)


ENDINGS = (".json", ".md", ".onnx", ".py", ".stablehlo", ".tflite")


@each_page
def test_a_setting_on_a_page_exists(page):
    """`optim.lr`, `train.vary=fold`: the word before the first dot is a branch of the config."""
    for text in inline(page):
        for key in re.findall(r"^(?:--config\.)?([a-z]+(?:\.[a-z_0-9]+)+)(?=$|[= ])", text):
            if key.split(".")[0] in BRANCHES and not key.endswith(ENDINGS):
                assert key in KEYS or any(k.startswith(f"{key}.") for k in KEYS), (page.name, key)


@pytest.mark.parametrize("command", commands())
def test_a_command_on_a_page_is_understood(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, name, *words = shlex.split(command, comments=True)
    module = importlib.import_module(f"bcjax.cli.{name.replace('-', '_')}")
    assert flags.parse(module, name, words)


@each_page
def test_python_on_a_page_compiles(page):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.slow
@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_it_shows(page, tmp_path, monkeypatch):
    """Its cells in turn; a block of text after a cell is what the cell prints."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    cells = r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?"
    for code, shown in re.findall(cells, page.read_text(), re.DOTALL):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, str(page), "exec"), names)
        if shown:
            assert printed.getvalue() == shown
