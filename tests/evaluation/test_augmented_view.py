"""Augmented pictures are evaluated beside the clean ones, always augmented in the same way."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import quick_config

import bcjax
from bcjax import config as configs
from bcjax.evaluation.augmented_view import AugmentedView, parse
from bcjax.evaluation.evaluation import Evaluation
from bcjax.runtime.errors import UserError
from bcjax.runtime.files import read_json_lines

LINE = "noise(0.1, p=0.7)"
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)


def seen(line, index, stored=True):
    """What a view makes of the pictures at these positions."""
    index = jnp.asarray(index, jnp.int32)
    if stored:
        return np.asarray(AugmentedView(line)({"index": index}, {"image": PICTURES})["image"])
    batch = {"index": index, "image": jnp.asarray(PICTURES)[index]}
    return np.asarray(AugmentedView(line)(batch, {})["image"])


@pytest.mark.parametrize("stored", [True, False])
def test_a_picture_is_augmented_alike_in_any_batch_and_from_any_store(stored):
    everywhere = seen(LINE, range(6))
    assert everywhere.dtype == np.uint8
    assert (everywhere != PICTURES).any()
    np.testing.assert_array_equal(seen(LINE, [4, 1], stored), everywhere[[4, 1]])


def test_without_strength_the_picture_stays_as_it_is():
    np.testing.assert_array_equal(seen("brightness(0)", range(6)), PICTURES)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (("mixup(0.2)",), "mixes pictures"),
        (("blur(1)", "blur(1)"), "twice"),
        (("blurr(1)",), "did you mean 'blur'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(lines, named):
    with pytest.raises(UserError, match=named):
        parse(lines)


def test_the_best_checkpoint_is_not_chosen_under_what_is_not_evaluated():
    config = configs.replaced(quick_config.get_config(), {"checkpoint.best_under": "blur(1)"})
    with pytest.raises(UserError, match=r"add it to config\.eval\.also"):
        configs.check(config)


def test_a_run_gives_both_figures_and_chooses_by_the_one_that_is_asked_for(tmp_path):
    dark = "brightness(0.9)"
    changes = {"workdir": str(tmp_path), "eval.also": (dark, "blur(1)"),
               "checkpoint.best": "log_loss", "checkpoint.best_under": dark,
               "eval.report": False}  # fmt: skip
    outcome = bcjax.train(configs.replaced(quick_config.get_config(), changes), progress=False)

    lines = [line for line in read_json_lines(tmp_path / "metrics.jsonl") if "val/log_loss" in line]
    under = {line["step"]: line[f"val/{dark}/log_loss"] for line in lines}
    assert len(under) == 3
    assert under[outcome.best] == min(under.values())
    assert any(line["val/accuracy"] != line[f"val/{dark}/log_loss"] for line in lines)

    clean, other = outcome.evaluation, Evaluation.read(tmp_path / "eval" / f"test-{dark}.json")
    assert not any("augmented" in caution for caution in clean.cautions)
    assert f"augmented by {dark}" in other.cautions[0]
    assert other.metrics["log_loss"] != clean.metrics["log_loss"]
    assert {path.stem for path in (tmp_path / "eval").glob("*.json")} == {
        "test", "val", f"test-{dark}", "test-blur(1)",
    }  # fmt: skip
    assert json.loads((tmp_path / "eval" / "val.json").read_text())["checkpoint"] == outcome.best
