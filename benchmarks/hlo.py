"""Where a training step's time goes: what its compiled program does, read from the program.

    python benchmarks/hlo.py --out=hlo.json
    python benchmarks/hlo.py --topology=tpu:v5e:2x2 --out=hlo_tpu.json
    python benchmarks/hlo.py --topology=cuda:h100_sxm.txtpb --out=hlo_h100.json

Without --topology the step is compiled for the accelerator of this machine. With it, for one that
need not be there: a TPU where `libtpu` is installed (the extra `tpu`; TPU_SKIP_MDS_QUERY=1,
TPU_ACCELERATOR_TYPE=v5litepod-16 and TPU_WORKER_HOSTNAMES=localhost must be set), or an NVIDIA GPU
where JAX's CUDA plug-in is (JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 must be set, and XLA_FLAGS to
--xla_gpu_autotune_level=0), described by a file of xla/backends/gpu/target_config/specs in
https://github.com/openxla/xla.

Operations are weighed by the cycles that the compiler expects of them where it does (TPU), else by
the bytes that they read from memory and write to it. Nothing is executed.
"""

import argparse
import collections
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import page as pages
from jax import lax
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

from bcjax import config as configs
from bcjax.augment import policy as policies
from bcjax.benchmark import machine, roofline
from bcjax.benchmark.operations import KINDS, Program
from bcjax.engine import network, program
from bcjax.engine.dispatch import Hyperparameters
from bcjax.runtime import mesh as meshes

NETWORKS = "resnet50,efficientnet_b0,convnext_tiny,convnext_large"
_EPOCH = 10_000  # training pictures: the schedule needs a length, and nothing else does
_CLASSES = 8
_HEAVIEST = 10
_STEPS = 8  # in a call on an accelerator, as `dispatch.per_call`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--sizes", default="96,224", help="sides of the pictures")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--topology", default="", help="tpu:NAME or cuda:FILE; '': this machine's")
    parser.add_argument("--text", type=Path, help="folder for the programs themselves")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    mesh = _mesh(options.topology)
    peaks = None if options.topology else machine.peaks(options.dtype)
    page = pages.begin() | {"target": mesh.devices.flat[0].device_kind, "programs": []}
    for name in options.networks.split(","):
        for size in map(int, options.sizes.split(",")):
            row = read(mesh, name, size, options.batch, options.dtype, options.text)
            if peaks:
                row["at_best"] = _at_best(row, peaks)
            print(f"{name}, {size} px: compiled in {row['compile_s']:.0f} s", file=sys.stderr)
            page["programs"].append(row)
            pages.write(page, options.out)  # the next one may take long, or too much memory
    print(table(page))


def read(mesh: Mesh, name: str, size: int, batch: int, dtype: str, text: Path | None) -> dict:
    """Compiles a network's training step and returns what its program does."""
    began = time.perf_counter()
    steps = 1 if mesh.devices.flat[0].platform == "cpu" else _STEPS
    lowered = _lower(mesh, name, size, batch, dtype, steps)
    lowered_at = time.perf_counter()
    compiled = lowered.compile()
    done = time.perf_counter()
    if text:
        text.mkdir(parents=True, exist_ok=True)
        (text / f"{name}_{size}.hlo.txt").write_text(compiled.as_text())
    return {
        "network": name,
        "image_size": size,
        "batch_size": batch,
        "dtype": dtype,
        "steps": steps,
        "lower_s": lowered_at - began,
        "compile_s": done - lowered_at,
        "flops": roofline.flops(lowered),
        "peak_memory": roofline.cost(lowered, compiled).peak_memory,
        **_told(Program(compiled.as_text()), steps),
    }


def _at_best(row: dict, peaks: machine.Peaks) -> float:
    """The share of the compute peak that is left to a program by the bytes that it moves."""
    computing = row["flops"] / peaks.flops_per_s
    return computing / max(computing, row["bytes"] / peaks.bytes_per_s)


def _told(program: Program, steps: int) -> dict[str, Any]:
    """What one of the `steps` in a program does."""
    operations = {each.name: each for each, _ in program.dispatched()}
    often = {each.name: times / steps for each, times in program.dispatched()}
    moved = {name: often[name] * program.memory_bytes(each) for name, each in operations.items()}
    cycles = {name: often[name] * (each.cycles or 0) for name, each in operations.items()}
    weights = cycles if any(cycles.values()) else moved
    whole = sum(weights.values())
    shares: collections.Counter[str] = collections.Counter()
    for name, each in operations.items():
        shares[program.kind(each)] += weights[name] / whole

    def alone(opcode: str) -> dict[str, float]:
        """Operations that do nothing but this."""
        found = [name for name, each in operations.items() if program.only(each) == opcode]
        return {"count": len(found), "bytes": sum(moved[name] for name in found)}

    heaviest = sorted(operations, key=lambda name: -weights[name])[:_HEAVIEST]
    return {
        "bytes": sum(moved.values()),
        "cycles": sum(cycles.values()) or None,
        "weighed_by": "cycles" if weights is cycles else "bytes",
        "operations": len(operations),
        "fusions": sum(each.opcode == "fusion" for each in operations.values()),
        "unfused": {opcode: alone(opcode) for opcode in ("transpose", "copy", "convert")},
        "shares": {kind: shares[kind] for kind in KINDS},
        "heaviest": [
            {
                "name": name,
                "kind": program.kind(operations[name]),
                "share": weights[name] / whole,
                "bytes": moved[name],
                "path": program.path(operations[name]),
            }
            for name in heaviest
        ],
    }


def _lower(mesh: Mesh, name: str, size: int, batch: int, dtype: str, steps: int) -> Any:
    """So many steps as training dispatches them: in a loop, but on a CPU."""
    config = configs.default()
    config.model.name, config.model.dtype = name, dtype
    config.data.image_size, config.train.batch_size = size, batch
    config = network.resolve(config)
    policy = policies.build(config.augment.ops)
    phase = program.build(config, policy, mesh, classes=_CLASSES, examples=_EPOCH).phases[0]

    def call(state: Any, batches: Any, numbers: Hyperparameters) -> Any:
        # `phase.call` asks JAX what it runs on, which may not be what this is compiled for.
        def one(state: Any, batch: Any) -> Any:
            return phase.call(state, jax.tree.map(lambda a: a[None], batch), {}, numbers)

        return lax.scan(one, state, batches)

    def array(shape: tuple[int, ...], of: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, of, sharding=sharding)

    rows, everywhere = meshes.batch_sharding(mesh, leading=1), meshes.replicated_sharding(mesh)
    batches = {
        "image": array((steps, batch, size, size, 3), jnp.uint8, rows),
        "label": array((steps, batch), jnp.int32, rows),
        "index": array((steps, batch), jnp.int32, rows),
    }
    floats = jax.tree.map(
        lambda _: array((), jnp.float32, everywhere), Hyperparameters(0, 1.0, None, policy.numbers)
    )
    numbers = floats._replace(seed=array((), jnp.uint32, everywhere))
    return jax.jit(call, donate_argnums=0).lower(phase.abstract, batches, numbers)


def _mesh(topology: str) -> Mesh:
    """One device, of this machine or of a topology."""
    platform, _, what = topology.partition(":")
    if not platform:
        device = jax.devices()[0]
    elif platform == "tpu":
        device = topologies.get_topology_desc(what, platform).devices[0]
    else:
        device = topologies.get_topology_desc(
            "1x1x1", platform, topology="1x1x1", target_config=Path(what).read_text()
        ).devices[0]
    return Mesh(np.array([[device]]), meshes.BATCH_AXES, axis_types=(AxisType.Auto,) * 2)


def table(page: dict) -> str:
    """The page as Markdown."""
    kinds = list(page["programs"][0]["shares"])
    lines = [
        "| network | px | GFLOP/picture | MB/picture | FLOP/byte | at best | peak memory | "
        f"{' | '.join(kinds)} |",
        "|---" * (7 + len(kinds)) + "|",
    ]
    for row in page["programs"]:
        batch = row["batch_size"]
        shares = " | ".join(f"{row['shares'][kind]:.0%}" for kind in kinds)
        best = f"{row['at_best']:.0%}" if "at_best" in row else "-"
        lines.append(
            f"| {row['network']} | {row['image_size']} | {row['flops'] / batch / 1e9:.2f} "
            f"| {row['bytes'] / batch / 1e6:.1f} | {row['flops'] / row['bytes']:.0f} | {best} "
            f"| {row['peak_memory'] / 1e9:.2f} GB | {shares} |"
        )
    about, first = page["about"], page["programs"][0]
    told = (
        f"Read from the training step in {first['dtype']}, batches of {first['batch_size']}, "
        f"compiled for one {page['target']} with JAX {about['versions']['jax']}, {about['date']}; "
        f"shares are of {first['weighed_by']}; by `{page['command']}`."
    )
    return "\n".join([*lines, "", told])


if __name__ == "__main__":
    main()
