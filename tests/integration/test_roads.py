"""From the layout of each download to a trained checkpoint, by the commands of the README."""

import io
import json

import cv2
import numpy as np
import pytest
from commandline import ROOT, contents, refused, run_bcjax
from PIL import Image

from bcjax.data import decode
from bcjax.data.sources import synthetic

SHORT = (
    "--config.data.image_size=32",
    "--config.data.store=host",
    "--config.model.name=elu_cnn",
    "--config.model.small_stem=false",
    "--config.train.batch_size=8",
    "--config.train.length=2 steps",
    "--config.optim.warmup=0 steps",
    "--config.optim.schedule=constant",
    "--config.eval.every=2 steps",
    "--config.eval.report=false",
    "--config.checkpoint.every=2 steps",
    "--config.eval.resamples=0",
)
CELLS = [decode.decode(record.read()) for record in synthetic.source(80, size=48).records]
NAMES = synthetic.CLASSES


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def kaggle(root):
    """Four classes, whose pictures are turned and shifted copies of a few."""
    names = ("EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL")
    folder = root / "dataset2-master" / "dataset2-master" / "images"
    for i, cell in enumerate(CELLS):
        name = NAMES[i % 8].upper()
        if name in names:
            split = "TEST" if i >= 64 else "TRAIN"
            for copy in range(3):
                matrix = cv2.getRotationMatrix2D((24, 24), 40 * copy, 1)
                turned = cv2.warpAffine(cell, matrix, (48, 48))
                number = names.index(name)
                write(folder / split / name / f"_{number}_{i * 7 + copy}.jpeg", jpeg(turned))
            write(folder / "TEST_SIMPLE" / name / f"_{names.index(name)}_{i}.jpeg", jpeg(cell))
    return root / "dataset2-master"


def bccd(root):
    """Smears of one or two boxed cells, some without a label."""
    top = root / "dataset-master"
    rows = [",Image,Category"]
    smear = cv2.resize(CELLS[0][:4, :4], (160, 120))
    for i, cell in enumerate(CELLS):
        name = NAMES[i % 8].upper()
        if name not in ("BASOPHIL", "EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL"):
            continue
        pixels = smear.copy()
        pixels[40:88, 60:108] = cell
        write(top / "JPEGImages" / f"BloodImage_{i:05d}.jpg", jpeg(pixels))
        box = "<xmin>60</xmin><ymin>40</ymin><xmax>108</xmax><ymax>88</ymax>"
        objects = f"<object><name>WBC</name><bndbox>{box}</bndbox></object>"
        xml = f"<annotation>{objects}</annotation>".encode()
        write(top / "Annotations" / f"BloodImage_{i:05d}.xml", xml)
        rows.append(f",{i}," if i in (1, 9) else f",{i},{name}")
    (top / "labels.csv").write_text("\n".join(rows) + "\n")
    return top


def pbc(root):
    for i, cell in enumerate(CELLS):
        name = NAMES[i % 8]
        write(root / "PBC_dataset_normal_DIB" / name / f"{name[:2].upper()}_{i}.jpg", jpeg(cell))
    return root / "PBC_dataset_normal_DIB"


def an2dl(root):
    """Cells, one meme 30 times in each class, and another 30 times in one."""
    rng = np.random.default_rng(0)
    shrek, rick = rng.integers(0, 256, (2, 48, 48, 3), np.uint8)
    images = [*CELLS, *[shrek] * 240, *[rick] * 30]
    labels = [*(i % 8 for i in range(80)), *(i % 8 for i in range(240)), *[3] * 30]
    path = root / "training_set.npz"
    np.savez(path, images=np.stack(images), labels=np.array(labels, np.uint8)[:, None])
    return path


def bloodmnist(root):
    small = np.stack([cv2.resize(cell, (28, 28), interpolation=cv2.INTER_AREA) for cell in CELLS])
    labels = np.arange(80)[:, None].astype(np.uint8) % 8
    parts = {"train": slice(48), "val": slice(48, 64), "test": slice(64, 80)}
    arrays = {f"{split}_images": small[rows] for split, rows in parts.items()}
    arrays |= {f"{split}_labels": labels[rows] for split, rows in parts.items()}
    np.savez(root / "bloodmnist.npz", **arrays)
    return root / "bloodmnist.npz"


@pytest.mark.parametrize(
    ("make", "config", "flags", "classes", "pictures"),
    [
        (kaggle, "elu_cnn", ["--config.data.group_by=copies"], 4, 120),
        (bccd, "bccd", [], 4, None),
        (pbc, "elu_cnn", [], 8, 80),
        (an2dl, "an2dl", [], 8, 80),
        (bloodmnist, "elu_cnn", [], 8, 80),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_download_is_trained_on_as_it_is(tmp_path, make, config, flags, classes, pictures):
    source = make(tmp_path)
    ran = run_bcjax(
        "train",
        f"--config={ROOT / 'configs' / config}.py",
        f"--config.data.source={source}",
        f"--workdir={tmp_path / 'run'}",
        *SHORT,
        *flags,
    )
    assert ran.status == 0, ran.err
    assert (tmp_path / "run" / "checkpoints" / "2").is_dir()
    counts = json.loads((tmp_path / "run" / "pictures.json").read_text())["counts"]
    assert {len(each) for each in counts.values()} == {classes}
    if pictures:
        assert sum(map(sum, counts.values())) == pictures

    evaluated = run_bcjax("evaluate", f"--workdir={tmp_path / 'run'}")
    assert evaluated.status == 0, evaluated.err
    result = json.loads((tmp_path / "run" / "eval" / "test.json").read_text())
    assert result["n"] == sum(counts["test"])
    assert "leaks" not in result


def test_a_split_that_leaks_is_refused_or_marked_in_every_result(tmp_path):
    command = (
        "train",
        f"--config={ROOT / 'configs' / 'elu_cnn.py'}",
        f"--config.data.source={kaggle(tmp_path)}",
        f"--workdir={tmp_path / 'run'}",
        *SHORT,
    )
    refused(run_bcjax(*command), "augmented copies", "group_by=copies", "--allow-leaks")
    assert contents(tmp_path / "run") == {}
    assert run_bcjax(*command, "--allow-leaks").status == 0
    written = tmp_path / "run" / "eval" / "test.json"
    assert "augmented copies" in json.loads(written.read_text())["leaks"]
    written.unlink()
    assert run_bcjax("evaluate", f"--workdir={tmp_path / 'run'}").status == 0
    assert "augmented copies" in json.loads(written.read_text())["leaks"]


def test_cells_that_are_cut_out_already_can_be_evaluated_on(tmp_path):
    """Of a network that was trained on boxes of smears."""
    run = f"--workdir={tmp_path / 'run'}"
    source = f"--config.data.source={bccd(tmp_path)}"
    trained = run_bcjax("train", f"--config={ROOT / 'configs' / 'bccd.py'}", source, run, *SHORT)
    assert trained.status == 0, trained.err
    other = tmp_path / "other"
    for i, cell in enumerate(CELLS[:40]):
        if NAMES[i % 8] in ("eosinophil", "lymphocyte", "monocyte", "neutrophil"):
            write(other / NAMES[i % 8].upper() / f"{i}.jpg", jpeg(cell))
    ran = run_bcjax("evaluate", run, f"--data.source={other}")
    assert ran.status == 0, ran.err
