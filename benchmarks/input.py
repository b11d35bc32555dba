"""What each store can feed: by threads, workers, calls ahead and shards; and whom it starves.

    python benchmarks/input.py --data=SOURCE:96 --data=SOURCE:224 --out=input.json

Each setting is measured once a round, round after round; a figure is the median over the rounds.
The batches are waited for on the devices and thrown away, so nothing computes beside the stores.
"""

import argparse
import contextlib
import functools
import io
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import page as pages
import tensorflow_datasets as tfds
from absl import flags

from bcjax import config as configs
from bcjax.benchmark import input as measuring
from bcjax.data import preparation
from bcjax.data.input_transform import InputTransform
from bcjax.data.order import Order
from bcjax.data.prepared import EncodedExamples, PreparedSet
from bcjax.data.records import Record
from bcjax.data.store import DeviceStore, DiskStore, HostStore, Store
from bcjax.engine.loader import Loader
from bcjax.runtime import mesh as meshes

BATCH = 64
SHARDS = (1, 4, 16)


class Setting(NamedTuple):
    """How pictures are loaded; as the config has it, where nothing is said."""

    store: str = "disk"
    threads: int = 0  # one per core
    workers: int = 0
    prefetch: int = 4


SETTINGS = (
    Setting(),
    *(Setting(threads=threads) for threads in (1, 2, 4)),
    *(Setting(workers=workers) for workers in (1, 2)),
    *(Setting(prefetch=prefetch) for prefetch in (1, 2, 8)),
    Setting("host"),
    Setting("device"),
)

SIZE = 224  # px, of the pictures of all published rates


class Published(NamedTuple):
    """A rate of training that others measured, on one accelerator."""

    network: str
    on: str
    images_per_s: int
    source: str


_TIMM = "timm, results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv"
PUBLISHED = (
    # 13.466 minutes, some 36 epochs of 1,281,167 pictures.
    Published("ResNet-50", "H100", 7_100, "MLPerf Training 3.0, entry 3.0-2053 of 8 H100"),
    Published("ResNet-18", "RTX 3090", 3_482, _TIMM),
    Published("EfficientNet-B0", "RTX 3090", 1_752, _TIMM),
    Published("ResNet-50", "RTX 3090", 1_218, _TIMM),
    Published("ConvNeXt-T", "RTX 3090", 819, _TIMM),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", required=True, metavar="SOURCE:PIXELS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    flags.FLAGS.mark_as_parsed()  # which grain's worker processes read
    sets = [_set(data, options) for data in options.data]
    page = pages.begin() | {
        "measured": "the input path alone, images/s of batches on the devices",
        "batch": options.batch,
        "sets": sets,
        "published": [row._asdict() for row in PUBLISHED],
    }
    pages.write(page, options.out)
    print(table(page))


def _set(asked: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one set of pictures at one size, `SOURCE:PIXELS`."""
    source, _, pixels = asked.rpartition(":")
    data = configs.default().data
    data.update({"source": source, "drop": ("conflicts",)})
    prepared, entry = preparation.prepare(data), InputTransform(configs.ImageSize.of(int(pixels)))
    examples = prepared.examples("train")
    order = Order(len(examples), options.batch, seed=0)
    arrays = DiskStore(examples, entry).read(np.arange(len(examples), dtype=np.int32))
    held: dict[str, Store] = {"host": HostStore(arrays), "device": DeviceStore(arrays)}

    works: dict[Setting | int | str, Callable[[], float]] = {
        "decode": lambda: measuring.decoded(examples, entry, options.seconds)
    }
    for setting in SETTINGS:
        store = held.get(setting.store) or DiskStore(examples, entry, setting.threads)
        works[setting] = functools.partial(_fed, store, order, setting, options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        for shards in SHARDS:
            sharded = _in_shards(prepared, shards, Path(folder))
            works[shards] = functools.partial(_read, sharded, order, options.seconds)
        rounds = [{name: work() for name, work in works.items()} for _ in range(options.rounds)]

    def rates(name: Setting | int | str) -> dict[str, Any]:
        each = [done[name] for done in rounds]
        return {"images_per_s": statistics.median(each), "rounds": each}

    encoded = [len(example.image) for example in examples[order(0)]]
    return {
        "data": Path(source).name,
        "image_size": entry.size.stated,
        "pictures": len(examples),
        "encoded_kb": statistics.mean(encoded) / 1e3,
        "decoded_by_a_core": rates("decode"),
        "fed": [setting._asdict() | rates(setting) for setting in SETTINGS],
        "read": [{"shards": shards} | rates(shards) for shards in SHARDS],
    }


def _fed(store: Store, order: Order, setting: Setting, seconds: float) -> float:
    data = configs.default().data
    data.update({key: getattr(setting, key) for key in ("threads", "workers", "prefetch")})
    feed = Loader(store, data, meshes.create())
    return measuring.fed(feed, order, 1, setting.prefetch, seconds)


def _read(examples: EncodedExamples, order: Order, seconds: float) -> float:
    """Encoded pictures a second, in the order and the batches of training."""
    steps = iter(range(1_000_000))
    batches = measuring.repeated(lambda: examples[order(next(steps))], seconds)
    return batches * order.batch_size


def _in_shards(prepared: PreparedSet, shards: int, folder: Path) -> EncodedExamples:
    """The training pictures of a set, in so many files."""
    examples = prepared.examples("train")
    records = [
        Record(str(i), label, functools.partial(_encoded, examples, i), split="train")
        for i, label in enumerate(prepared.labels("train"))
    ]
    builder = preparation.Cells(
        records=records, classes=prepared.classes, data_dir=folder / str(shards)
    )
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS talks of downloading
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(num_shards=shards)
        )
    return EncodedExamples(builder, "train")


def _encoded(examples: EncodedExamples, position: int) -> bytes:
    return examples[[position]][0].image


def best(rows: list[dict[str, Any]], store: str) -> dict[str, Any]:
    """The setting with which a store feeds most."""
    return max((row for row in rows if row["store"] == store), key=lambda row: row["images_per_s"])


def table(page: dict[str, Any]) -> str:
    """The page as two Markdown tables: what the stores feed, and the cores that `disk` needs."""
    lines = [
        "| pictures | one core decodes | `disk` feeds | with | `host` feeds | `device` feeds |",
        "|---|---|---|---|---|---|",
    ]
    for each in page["sets"]:
        tops = {store: best(each["fed"], store) for store in ("disk", "host", "device")}
        disk = tops["disk"]
        threads = disk["threads"] or page["about"]["cores"]
        lines.append(
            f"| {each['data']} at {each['image_size']} px "
            f"| {each['decoded_by_a_core']['images_per_s']:,.0f} | {disk['images_per_s']:,.0f} "
            f"| {threads} threads, {disk['workers']} workers, {disk['prefetch']} calls ahead "
            f"| {tops['host']['images_per_s']:,.0f} | {tops['device']['images_per_s']:,.0f} |"
        )
    lines += ["", *_cores(page)]
    said = (
        f"Images/s, in batches of {page['batch']}. Cores: the published rate over what one core of "
        f"{page['about']['processor']} decodes. {pages.measured(page)}"
    )
    return "\n".join([*lines, "", said])


def _cores(page: dict[str, Any]) -> list[str]:
    """Published rates beside what a core decodes at their size: an accelerator's time is theirs."""
    sets = [each for each in page["sets"] if each["image_size"] == SIZE]
    names = "".join(f" cores that `disk` needs for {each['data']} |" for each in sets)
    lines = [
        f"| trains at {SIZE} px | images/s, published |{names} source |",
        "|---|---|" + "---|" * len(sets) + "---|",
    ]
    for row in page["published"]:
        rates = (each["decoded_by_a_core"]["images_per_s"] for each in sets)
        needed = "".join(f" {row['images_per_s'] / rate:.1f} |" for rate in rates)
        trains = f"| {row['network']} on one {row['on']} | {row['images_per_s']:,} |"
        lines.append(f"{trains}{needed} {row['source']} |")
    return lines


if __name__ == "__main__":
    main()
