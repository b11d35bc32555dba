"""One run in every format: what its certificates say.

    bcjax train --config=mobilenet_v2_035 --config.data.source=PICTURES/pbc96 --workdir=RUN
    bcjax calibrate --workdir=RUN
    python benchmarks/certificates.py --run=RUN --out=benchmarks/results/certificates.json

`certificates_fine_tuned.json` is of a run of `--config=transfer` with `--config.data.image_size=96
--config.data.test_fraction=0.1 --config.data.drop=conflicts --config.train.length='3 epochs'` and
MobileNetV2's ImageNet weights as `--config.model.weights`.

Each file is checked on the held-out pictures of the run, in its own runtime (`bcjax export`).
"""

import argparse
import tempfile
from pathlib import Path

import page as pages

import bcjax
from bcjax.exports.exported import Certificate
from bcjax.exports.formats import FORMATS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the folder of a calibrated run")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--max-loss", type=float, default=0.02)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    page = pages.begin()
    net = bcjax.load(options.run)
    data = net.config.data
    page["run"] = {
        "network": net.config.model.name, "image_size": data.image_size, "checkpoint": net.step,
        "source": Path(data.source).name, "length": net.config.train.length,
        "fine_tuned": net.config.model.weights is not None,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        exported = bcjax.export(
            net, folder, formats=options.formats.split(","), max_loss=options.max_loss
        )
    page["certificates"] = [each.to_dict() for each in exported.certificates]
    pages.write(page, options.out)
    print(table(page))


def table(page: dict) -> str:
    """The page as Markdown."""
    lines = [
        "| format | size | answered by | same class | probability differs by | accuracy | "
        "lost (95 %) | calibration error | one picture, ms (99 %) |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    found = [Certificate.from_dict(each) for each in page["certificates"]]
    for each in found:
        lost = each.loss
        points = "-" if lost.value is None else f"{100 * lost.value:.1f}"
        if lost.low is not None and lost.high is not None:
            points += f" ({100 * lost.low:.1f} to {100 * lost.high:.1f})"
        accuracy = f"{100 * each.accuracy.value:.1f} %" if each.accuracy else "-"
        lines.append(
            f"| `{each.format}` | {each.bytes / 1e6:.2f} MB | {each.runtime} | "
            f"{each.same_label:,} of {each.n:,} | {each.difference:.0e} | {accuracy} | {points} | "
            f"{each.calibration_error:.3f} | {each.p50_ms:.2f} ({each.p99_ms:.2f}) |"
        )
    run = page["run"]
    told = (
        f"{run['network']} at {run['image_size']} px, "
        f"{'fine-tuned' if run['fine_tuned'] else 'trained'} on {run['source']} for "
        f"{run['length']}, on pictures of its {found[0].split} split; the network's own "
        f"calibration error on them is {found[0].own_calibration_error:.3f}. Lost: points of "
        "accuracy."
    )
    return "\n".join([*lines, "", f"{told} {pages.measured(page)}"])


if __name__ == "__main__":
    main()
