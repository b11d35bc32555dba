"""`import bcjax`: quick, and the same names for Python, editors and readers."""

import ast
import json
import subprocess
import sys

import pytest
from places import ROOT

import bcjax

HEAVY = ("jax", "flax", "absl", "numpy", "matplotlib", "ml_collections", "rich", "orbax", "cv2")
PUBLIC = {
    "AblationResult",
    "Calibration",
    "Comparison",
    "Embeddings",
    "Evaluation",
    "Explanation",
    "Exported",
    "Outcome",
    "Prediction",
    "Predictions",
    "PreparedSet",
    "Report",
    "SweepResult",
    "TrainedEnsemble",
    "TrainedNetwork",
    "UserError",
    "__version__",
    "ablate",
    "calibrate",
    "compare",
    "evaluate",
    "explore",
    "export",
    "get_config",
    "load",
    "prepare",
    "report",
    "sweep",
    "train",
}


def test_importing_it_imports_nothing_heavy():
    code = "import bcjax, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & set(HEAVY)
    assert "logging" not in loaded


def test_the_public_names_are_these():
    assert set(bcjax.__all__) == PUBLIC
    assert set(dir(bcjax)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_there_and_documented(name):
    value = getattr(bcjax, name)
    assert isinstance(value, str) or value.__doc__


def test_editors_and_type_checkers_see_the_same_names_from_the_same_modules():
    tree = ast.parse((ROOT / "bcjax" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == bcjax._NAMES


def test_every_room_can_be_reached_and_is_named():
    rooms = {path.parent.name for path in (ROOT / "bcjax").glob("*/__init__.py")} - {"cli"} | {
        "register"
    }
    assert set(bcjax._ROOMS) == rooms
    assert bcjax.metrics is sys.modules["bcjax.metrics"]


def test_another_name_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = bcjax.trian


def test_types_are_shipped():
    assert (ROOT / "bcjax" / "py.typed").exists()
