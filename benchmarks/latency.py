"""How long a network takes to answer, beside PyTorch and ONNX Runtime on a CPU, in turns.

    python benchmarks/latency.py --peers=PEERS/bin/python --beside=FOLDER --out=latency.json

`--peers` is a Python that has torch, timm, onnx and onnxruntime; in the folder `--beside` is what
they need to be imported, if anything. All sides answer pictures in memory in float32, on all cores:
ours starts from uint8, normalises and ends with probabilities (`bcjax benchmark --what=predict`),
theirs starts from normalised floats and ends with logits. PyTorch answers without a compiler, ONNX
Runtime with all of its graph optimisations. Each figure is the median over the turns, and a ratio
the median of the turns' ratios.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

import page as pages
import programs
from programs import Answer
from steps import FOUR, PEERS, networks
from turns import Turn, settled

SIDES = ("bcjax", "pytorch", "onnxruntime")
FIGURES = ("p50_ms", "p99_ms", "images_per_s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="Python with torch, timm and onnxruntime")
    parser.add_argument("--beside", type=Path, help="a folder for the peers' PYTHONPATH")
    parser.add_argument("--networks", type=networks, default=FOUR)
    parser.add_argument("--sizes", default="96,224", help="of a picture's sides, px")
    parser.add_argument(
        "--largest", type=int, default=32, help="batch; each of 1, 8, 32, 128 up to it is timed"
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    libraries = ("torch", "timm", "onnx", "onnxruntime")
    page = pages.begin(**programs.versions(options.peers, libraries))
    page |= {"turns": options.turns, "rows": []}
    for size in map(int, options.sizes.split(",")):
        for network in options.networks:
            page["rows"] += compare(network, size, options)
            pages.write(page, options.out)
    print(table(page))


def compare(network: str, size: int, options: argparse.Namespace) -> list[dict]:
    """Returns a row for each batch size: medians, ratios, and the raw figures behind them."""
    turns: list[Turn] = []
    for turn in range(options.turns):
        turns.append(settled(lambda: _turn(network, size, options)))
        batches = [each["batch_size"] for each in turns[-1]["bcjax"]["batches"]]
        waits = (f"{side} {turns[-1][side]['batches'][0]['p50_ms']:.1f} ms" for side in SIDES)
        print(f"{network}, {size} px, turn {turn + 1}, one picture: {', '.join(waits)}",
              file=sys.stderr)  # fmt: skip
    return [
        {"network": network, "image_size": size, "batch_size": batch}
        | medians([{side: _of_batch(turn[side], i) for side in SIDES} for turn in turns])
        for i, batch in enumerate(batches)
    ]


def medians(turns: list[Turn]) -> dict:
    """What the turns of one batch size come to; a ratio above 1 says that ours is faster."""

    def median(side: str, figure: str) -> float:
        return statistics.median(turn[side][figure] for turn in turns)

    def over(side: str) -> float:
        return statistics.median(turn[side]["p50_ms"] / turn["bcjax"]["p50_ms"] for turn in turns)

    return {
        **{side: {figure: median(side, figure) for figure in FIGURES} for side in SIDES},
        **{f"over_{side}": over(side) for side in SIDES[1:]},
        "turns": turns,
    }


def table(page: dict) -> str:
    """Returns the page as Markdown."""
    lines = [
        "| network | px | pictures | bcjax, ms (99 %) | PyTorch | ONNX Runtime "
        "| over PyTorch | over ONNX Runtime |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in page["rows"]:
        waits = (f"{row[side]['p50_ms']:.1f} ({row[side]['p99_ms']:.1f})" for side in SIDES)
        lines.append(
            f"| {row['network']} | {row['image_size']} | {row['batch_size']} | {' | '.join(waits)} "
            f"| {row['over_pytorch']:.2f} | {row['over_onnxruntime']:.2f} |"
        )
    said = (
        "Time of an answer in ms, the median call and in brackets what 99 % stay below: float32, "
        "pictures in memory, ours from uint8 to probabilities, theirs from normalised floats to "
        f"logits; medians of {page['turns']} turns; a ratio above 1: ours is faster. "
        f"{pages.measured(page)}"
    )
    return "\n".join([*lines, "", said])


def _turn(network: str, size: int, options: argparse.Namespace) -> Turn:
    ours = _ours(network, size, options.largest)
    batches = [each["batch_size"] for each in ours["batches"]]
    theirs = _theirs(network, size, batches, options)
    process = {key: theirs[key] for key in ("process_s", "stolen_share")}
    return {"bcjax": ours, **{side: theirs[side] | process for side in SIDES[1:]}}


def _of_batch(answer: Answer, index: int) -> Answer:
    """What a side said of one batch size, and how disturbed its process was."""
    return answer["batches"][index] | {"stolen_share": answer["stolen_share"]}


def _ours(network: str, size: int, largest: int) -> Answer:
    settings = {
        "model.name": network,
        "data.image_size": size,
        "data.source": "synthetic",
        "data.synthetic_images": 160,
        "eval.batch_size": largest,
        "train.batch_size": 8,
    }
    flags = ("--what=predict", "--json")
    command = programs.bcjax("benchmark", "resnet50.py", settings, *flags)
    return programs.timed(command, part="predict")


def _theirs(network: str, size: int, batches: list[int], options: argparse.Namespace) -> Answer:
    script = str(Path(__file__).with_name("latency_peer.py"))
    flags = [f"--model={PEERS[network][0]}", f"--size={size}"]
    flags.append(f"--batches={','.join(map(str, batches))}")
    beside = [str(options.beside.absolute())] if options.beside else []
    path = os.pathsep.join([*beside, *filter(None, [os.environ.get("PYTHONPATH")])])
    return programs.timed([options.peers, script, *flags], {"PYTHONPATH": path})


if __name__ == "__main__":
    main()
