"""Another laboratory's pictures: whose classes have other names, and overlap in part."""

import json
import shutil

import numpy as np
import pytest
from commandline import contents, refused
from sklearn.metrics import balanced_accuracy_score

from bcjax.data.sources import open_source, synthetic
from bcjax.evaluation import answers as written
from bcjax.evaluation.evaluation import Evaluation
from bcjax.runtime.errors import UserError

HOME = ("basophil", "eosinophil", "ig", "neutrophil")


def test_a_source_may_keep_its_own_names(snapshots, tmp_path):
    folder = str(snapshots(tmp_path / "cells"))
    with pytest.raises(UserError, match=r"not among data\.classes"):
        open_source(folder, classes=HOME)
    assert open_source(folder, classes=HOME, own_names=True).classes == synthetic.CLASSES


@pytest.fixture
def there(snapshots, tmp_path):
    """Five pictures each of: Neutrophil, band and eosinophil, and smudge, which nobody knows."""
    folder = snapshots(tmp_path / "there")
    home = {"Neutrophil": "neutrophil", "band": "ig", "eosinophil": "eosinophil"}
    kept = home | {"smudge": "platelet"}
    for name in set(synthetic.CLASSES) - set(kept.values()):
        shutil.rmtree(folder / name)
    for name, was in kept.items():
        (folder / was).rename(folder / f"{name}-")
        (folder / f"{name}-").rename(folder / name)
    return folder


MAP = "--map-classes=band=neutrophil"


def test_another_laboratory_is_measured_on_the_overlap_both_ways_beside_home(bcjax, own_run, there):
    ran = bcjax("evaluate", f"--workdir={own_run}", f"--data.source={there}", MAP)
    assert ran.status == 0, ran.err
    result = json.loads((own_run / "eval" / "there-all.json").read_text())
    assert Evaluation.from_dict(result).to_dict() == result
    section = result["laboratory"]
    assert section["classes"] == {
        "Neutrophil": "neutrophil", "band": "neutrophil", "eosinophil": "eosinophil",
    }  # fmt: skip
    assert section["left_out"] == {"smudge": 5}
    assert result["n"] == section["n"] == 15
    assert result["classes"] == list(synthetic.CLASSES)
    assert (section["stain"], section["home_stain"]) == ("none", "none")

    overlap = [synthetic.CLASSES.index(name) for name in ("eosinophil", "neutrophil")]
    for name, part in (("there-all", section), ("test", section["home"])):
        kept = written.read(own_run / "eval" / f"{name}.parquet")
        rows = np.isin(kept.labels, overlap)
        labels, logits = kept.labels[rows], kept.logits[rows]
        closed = np.array(overlap)[logits[:, overlap].argmax(1)]
        for way, said in (("open", logits.argmax(1)), ("closed", closed)):
            figures = part[way]
            assert part["n"] == figures["accuracy"]["n"] == len(labels)
            assert figures["accuracy"]["value"] == pytest.approx((labels == said).mean())
            assert figures["balanced_accuracy"]["value"] == pytest.approx(
                np.mean([(said == label)[labels == label].mean() for label in np.unique(labels)])
            )
    for way in ("open", "closed"):
        for metric, drop in section["drop"][way].items():
            home, there = section["home"][way][metric], section[way][metric]
            assert drop["value"] == pytest.approx(home["value"] - there["value"])
            assert drop.get("low", -1) <= drop.get("high", 1)  # neither, where resamples agree
    assert section["open"]["accuracy"]["value"] == result["metrics"]["accuracy"]["value"]
    assert "left out: smudge (5)" in ran.out
    assert "band = neutrophil" in ran.out


def test_classes_of_the_same_names_need_no_map(bcjax, own_run, snapshots, tmp_path):
    folder = snapshots(tmp_path / "others")
    for name in synthetic.CLASSES:
        (folder / name).rename(folder / f"{name.upper()}")
    ran = bcjax("evaluate", f"--workdir={own_run}", f"--data.source={folder}")
    assert ran.status == 0, ran.err
    result = json.loads((own_run / "eval" / "others-all.json").read_text())
    assert result["laboratory"]["left_out"] == {}
    assert result["n"] == 40
    kept = written.read(own_run / "eval" / "others-all.parquet")
    balanced = balanced_accuracy_score(kept.labels, kept.logits.argmax(1))
    for way in ("open", "closed"):  # all classes are there
        figure = result["laboratory"][way]["balanced_accuracy"]
        assert figure["value"] == pytest.approx(balanced)


def test_a_prepared_set_is_matched_by_name_and_not_by_number(bcjax, own_run, there, tmp_path):
    """Its labels are numbers in an order of its own."""
    prepared = tmp_path / "prepared"
    ran = bcjax(
        "prepare", f"--config.data.source={there}", f"--out={prepared}",
        "--config.data.val_fraction=0", "--config.data.test_fraction=0",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    for source in (there, prepared):
        ran = bcjax("evaluate", f"--workdir={own_run}", f"--data.source={source}", MAP)
        assert ran.status == 0, ran.err
    one, other = (
        json.loads((own_run / "eval" / f"{name}-all.json").read_text())
        for name in ("there", "prepared")
    )
    assert one["confusion_matrix"] == other["confusion_matrix"]


def test_stain_is_normalised_as_asked_and_the_result_says_so(bcjax, own_run, there):
    found = {}
    for stain in ("none", "reinhard"):
        ran = bcjax(
            "evaluate", f"--workdir={own_run}", f"--data.source={there}", MAP,
            f"--data.stain={stain}",
        )  # fmt: skip
        assert ran.status == 0, ran.err
        page = own_run / "eval" / f"there-all-{stain}.json"
        section = json.loads(page.read_text())["laboratory"]
        assert section["stain"].startswith(stain)
        assert section["home_stain"] == "none"
        found[stain] = written.read(page.with_suffix(".parquet")).logits
    assert not np.allclose(found["none"], found["reinhard"])


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ((), ("'band'", "there", "nearest is", "map_classes")),
        (("--map-classes=band=neutrofil",), ("'band'", "'neutrofil'", "'neutrophil'")),
        (("--map-classes=bend=neutrophil",), ("'bend'", "'band'")),
        (("--map-classes=band",), ("'band'", "THEIRS=HOME")),
        (("--data.stain_reference=x.png", MAP), ("data.stain=reinhard",)),
        (("--data.max_pixels=9", MAP), ("pixels are more than data.max_pixels=9",)),
    ],
)
def test_a_mistake_is_said_in_a_sentence_and_nothing_is_written(
    bcjax, own_run, there, flags, named
):
    before = contents(own_run)
    refused(bcjax("evaluate", f"--workdir={own_run}", f"--data.source={there}", *flags), *named)
    assert contents(own_run) == before


def test_flags_about_other_data_need_other_data(bcjax, own_run):
    refused(bcjax("evaluate", f"--workdir={own_run}", MAP), "map_classes", "source")
