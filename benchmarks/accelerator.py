"""All that is to be known of an accelerator's speed, in one go of some minutes.

    python benchmarks/accelerator.py --step=step.py --data=PICTURES --out=benchmarks/results

In this order, each part written as soon as it is measured: the device's peaks; whole training steps
beside PyTorch's (timm, compiled) in turns, without and with augmentation, as steps.py has it; the
whole loop over the bare step, from device memory and from the host's; the recipe published for
3,200 PBC pictures, whole commands; pictures of 28 px, where dispatch decides; and the steps of the
largest network. A part that the time does not suffice for is left out and said to be; the same
command measures what is still missing, as does one that names it in `--parts`.

`--peers` is a Python with torch and timm (this one, unless it is given), `--step` as steps.py has
it, `--data` the folder of the 3,200 pictures (else random ones); `--small` tries it all out on a
CPU. Only children of this process touch the device, one at a time.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import accelerator_parts as parts
import page as pages
import programs
import steps
from accelerator_parts import SMALL, WHOLE, Sitting
from programs import Deadline, FailedError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default=sys.executable, help="Python with torch and timm")
    parser.add_argument("--step", required=True, help="the script that times a peer's step")
    parser.add_argument("--data", type=Path, help="the recipe's pictures: 400 in each of 8 folders")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--small", action="store_true", help="everything tiny, to try it out")
    parser.add_argument("--parts", help="by commas; default: all that are missing in the page")
    parser.add_argument("--out", type=Path, required=True, help="folder of the page")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    scale = SMALL if options.small else WHOLE
    known = parts.of(scale)
    if unknown := set(options.parts.split(",") if options.parts else ()) - set(known):
        parser.error(f"--parts: there is no {', '.join(unknown)}, but {', '.join(known)}")

    page = pages.begin(**programs.versions(options.peers, ("torch", "timm")))
    page |= {"parts": {}, "left_out": {}}
    out = options.out / f"{name(page['about'])}.json"
    page["parts"] = before(page, out)
    missing = [part for part in known if part not in page["parts"]]
    asked = options.parts.split(",") if options.parts else missing
    with tempfile.TemporaryDirectory() as folder:
        sitting = Sitting(options.peers, options.step, options.data, scale, Path(folder))
        page["setting"] = steps.about(sitting.setting)
        for i, part in enumerate(asked):
            now = time.monotonic()
            share = known[part][0] / sum(known[each][0] for each in asked[i:])
            print(f"{part}: {end - now:.0f} s are left", file=sys.stderr)
            try:
                found = known[part][1](sitting, Deadline(now + share * (end - now), end))
                page["parts"][part] = found | {"took_s": round(time.monotonic() - now, 1)}
            except FailedError as error:
                page["left_out"][part] = str(error)[-300:]
                print(error, file=sys.stderr)
            pages.write(page, out)
    print(table(page))


def name(about: dict) -> str:
    """'gpu_nvidia_h200': of the page about a device."""
    return re.sub(r"\W+", "_", f"{about['backend']} {about['device']}".lower()).strip("_")


def before(page: dict, out: Path) -> dict:
    """The parts that were measured before, with the same versions on such a device.

    Raises:
      SystemExit: If the page that is there is of others.
    """
    if not out.exists():
        return {}
    there = json.loads(out.read_text())
    for key in ("device", "devices", "versions"):
        if there["about"][key] != page["about"][key]:
            sys.exit(f"{out} was measured with another {key}: give another --out.")
    return there["parts"]


def table(page: dict) -> str:
    """Returns the page as Markdown."""
    found = page["parts"]
    rows = [part for part in found.values() if "over" in part]
    lines = ["| measured | figure |", "|---|---|", *(f"| {a} | {b} |" for a, b in figures(found))]
    said = f"{steps.said(page['setting'], rows)} " * bool(rows) + pages.measured(page)
    if page["left_out"]:
        said += f" Not measured: {', '.join(page['left_out'])}."
    return "\n\n".join([*([steps.markdown(rows)] * bool(rows)), "\n".join(lines), said])


def figures(found: dict) -> Iterator[tuple[str, str]]:
    """What is not whole steps, and its figure."""
    for dtype, peak in found.get("peaks", {}).items():
        if isinstance(peak, dict):
            yield (
                f"a matrix product in {dtype}; a pass over memory",
                f"{peak['flops_per_s'] / 1e12:.3g} TFLOP/s; {peak['bytes_per_s'] / 1e9:,.0f} GB/s",
            )
    if loop := found.get("loop"):
        for store in ("device", "host"):
            yield (
                f"training loop over its bare step, {store} store, {loop['network']}, batch "
                f"{loop['batch']}; with log lines, evaluations and checkpoints",
                _loop(loop[store]),
            )
    if recipe := found.get("recipe"):
        warm = f", {recipe['warm_s']:.0f} s with it" if "warm_s" in recipe else ""
        right = f"; {recipe['accuracy']['value']:.1%} of the test" if "accuracy" in recipe else ""
        yield (
            f"DeepEfficientNet, {recipe['epochs']} epochs of {recipe['examples']:,} pictures, the "
            f"whole command from start to end (and once, preparing the pictures)",
            f"{recipe['cold_s']:.0f} s without compilation cache{warm}{right} "
            f"(and {recipe['prepare_s']:.0f} s)",
        )
    if small := found.get("small"):
        yield (
            "ResNet-18, 28 px: training loop over its bare step; whole epochs of "
            f"{small['whole']['images']:,} pictures, evaluation and checkpoint included",
            _loop(small),
        )


def _loop(found: dict) -> str:
    whole = found["whole"]
    return (
        f"{found['images_per_s']:,.0f} images/s, {found['share_of_bare_step']:.1%}; "
        f"{whole['images_per_s']:,.0f}, {whole['share_of_bare_step']:.1%}"
    )


if __name__ == "__main__":
    main()
