"""The best trial of a sweep: chosen by its figure, of one seed, and often one among several."""

import numpy as np
import pytest
from fabricated import answers as made_up

from bcjax.evaluation import answers
from bcjax.tune import best

N = 300


@pytest.fixture
def trials(tmp_path):
    """Trials of which so many answers are right, the best one first."""

    def make(*rights):
        folders = [tmp_path / f"trial-{number:04}" for number in range(len(rights))]
        for number, (folder, right) in enumerate(zip(folders, rights, strict=True)):
            correct = np.roll(np.arange(N) < right, 11 * number)
            answers.write(made_up(correct), folder / "eval" / "val.parquet")
        return folders

    return make


def test_the_best_was_chosen_and_has_one_seed(trials):
    chosen, seed, alike = best.cautions(trials(270, 268, 120, 269), ["accuracy"], "val")
    assert chosen.startswith("The best of 4 trials was chosen by these val pictures")
    assert "seed noise is not in its figure" in seed
    assert alike.startswith("Of the 3 next best, 2 cannot be told apart from the best")


def test_trials_on_another_host_are_not_compared(trials, tmp_path):
    here = trials(270, 120)
    *_, alike = best.cautions([*here, tmp_path / "elsewhere"], ["accuracy"], "val")
    assert alike.startswith("Of the 1 next best, 0 cannot")
    assert len(best.cautions([tmp_path / "elsewhere", *here], ["accuracy"], "val")) == 2


@pytest.mark.parametrize(("names", "said"), [(["accuracy", "size"], 2), (["latency"], 0)])
def test_costs_are_not_pictures(trials, names, said):
    assert len(best.cautions(trials(270, 120), names, "val")) == said


def test_a_single_trial_was_not_chosen(trials):
    assert best.cautions(trials(270), ["accuracy"], "val") == ()


def test_seeds_that_were_tried_with_the_same_values_have_a_mean(trials):
    folders = trials(290, 270, 268, 120)
    tried = dict(
        zip(
            folders,
            [
                {"seed": seed, "optim.lr": lr}
                for seed, lr in ((0, 0.1), (0, 0.2), (1, 0.2), (1, 0.1))
            ],
            strict=True,
        )
    )
    # The luckiest trial is of the worse setting.
    steady, lucky = best.over_seeds(tried, ["accuracy"], "val")
    assert (steady.params, steady.workdirs) == ({"optim.lr": 0.2}, ["trial-0001", "trial-0002"])
    assert steady.metric.mean == pytest.approx(269 / N)
    assert steady.metric.interval == "t over runs and pictures"
    assert (lucky.params, lucky.metric.interval) == (
        {"optim.lr": 0.1}, "clipped t over runs and pictures",
    )  # fmt: skip
    assert best.over_seeds(tried, ["accuracy", "size"], "val") == []
    assert best.over_seeds({path: {"optim.lr": 1} for path in folders}, ["accuracy"], "val") == []
