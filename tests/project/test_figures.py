"""The figures on the pages are those that commands wrote, each with what it was measured on."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from places import ROOT, project_files

from bcjax import config as configs

BENCHMARKS = ROOT / "benchmarks"
RESULTS = project_files("benchmarks/results/*.json")
MARKED = "before\n<!-- figures:{} -->\nstale\n<!-- /figures -->\nafter\n"
SCRIPT = "def table(page):\n    return f\"| rate |\\n|---|\\n| {page['rate']} |\"\n"


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import figures

    return figures


@pytest.fixture
def result(figures, tmp_path, monkeypatch):
    """Writes a page and returns its folder; its script lies beside it."""
    monkeypatch.setattr(figures, "HERE", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "drawn_rate.py").write_text(SCRIPT)
    page = {"command": "python benchmarks/drawn_rate.py --out=x.json", "rate": 12.5}
    (tmp_path / "drawn_rate.json").write_text(json.dumps(page))
    return tmp_path


def test_the_pages_show_the_results(figures):
    """Each result at a mark, each mark with its result, and nothing between marks by hand."""
    assert figures.main(["--check"]) == 0


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_says_what_it_was_measured_on(path, figures):
    page = json.loads(path.read_text())
    assert figures.maker(page).is_file(), "made by a script of benchmarks/"
    about = page["about"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", about["date"])
    assert about["device"]
    assert {"bcjax", "jax"} <= about["versions"].keys()
    assert all(page.get("peers", {"none": "needed"}).values())


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_names_no_folder_of_one_machine(path):
    for word in shlex.split(json.loads(path.read_text())["command"]):
        assert not os.path.isabs(word.rpartition("=")[2]), word


def test_what_stands_at_a_mark_is_made_anew(figures, result):
    text = figures.rewrite([MARKED.format("drawn_rate")], result)[0]
    assert "stale" not in text
    assert "| 12.5 |" in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert figures.rewrite([text], result) == [text]


def test_a_figure_typed_by_hand_is_found(figures, result, capsys):
    file = result / "README.md"
    file.write_text(figures.rewrite([MARKED.format("drawn_rate")], result)[0])
    arguments = [f"--page={file}", f"--results={result}"]
    assert figures.main(["--check", *arguments]) == 0
    file.write_text(file.read_text().replace("12.5", "13.5"))
    assert figures.main(["--check", *arguments]) == 1
    assert "README.md" in capsys.readouterr().out
    assert figures.main(arguments) == 0
    assert "12.5" in file.read_text()


def test_a_mark_of_no_result_is_found_and_a_pattern_may_match_none(figures, result):
    shown = MARKED.format("drawn_*") + MARKED.format("gpu_*")
    assert figures.rewrite([shown], result)[0].count("| 12.5 |") == 1
    with pytest.raises(SystemExit, match="lost"):
        figures.rewrite([shown, MARKED.format("lost")], result)


def test_a_result_at_no_mark_is_found(figures, result):
    with pytest.raises(SystemExit, match="drawn_rate"):
        figures.rewrite(["no mark\n"], result)


@pytest.mark.parametrize(("key", "value"), [("optim.lr", 0.5), ("model.weights", "other.npz")])
def test_a_run_that_its_command_does_not_describe_is_told(key, value, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(ROOT)
    import runs

    for command in runs.TRAINED:
        asked = runs.described(command)
        run = configs.from_dict(asked.to_dict())
        run.data.source = f"/elsewhere/{Path(asked.data.source).name}"
        run.data.classes, run.model.mean = ("a", "b"), (0.1, 0.2, 0.3)  # left to the run
        assert runs.differing(asked, run) == []
        run.update_from_flattened_dict({key: value})
        assert runs.differing(asked, run) == [key]


def test_a_command_is_kept_as_others_can_give_it(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import page

    argv = ["benchmarks/steps.py", "--peers=/opt/p/bin/python", "--out=x.json", "--", "a b"]
    assert page.command(argv) == "python benchmarks/steps.py --peers=PEERS --out=x.json -- 'a b'"


def test_a_page_is_written_whole(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import page

    out: Path = tmp_path / "new" / "page.json"
    page.write({"rate": 1}, out)
    with pytest.raises(TypeError):
        page.write({"rate": object()}, out)
    assert json.loads(out.read_text()) == {"rate": 1}
    assert list(out.parent.iterdir()) == [out]
