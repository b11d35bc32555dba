"""The parts of a sitting of accelerator.py: each measures one thing and returns it."""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pictures
import programs
import steps
from programs import Answer, Deadline


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
      batches: Tried with each network, the likelier first.
      size: Of a picture's sides, in pixels.
      dtype: "f32" or "bf16".
      compile: Whether PyTorch's networks are compiled.
      steps: Timed in a turn.
      turns: Of whole steps.
      loop: The network of the whole loop, and its batch.
      period: Steps from an evaluation to the next in it.
      recipe: Pictures to train on, to validate on and to test on.
      epochs: Of the recipe.
      small: Pictures of 28 px, likewise.
      small_steps: Timed in a turn with these.
    """

    batches: dict[str, tuple[int, ...]]
    size: int = 224
    dtype: str = "bf16"
    compile: bool = True
    steps: int = 20
    turns: int = 3
    loop: tuple[str, int] = ("resnet50", 256)
    period: int = 200
    recipe: tuple[int, int] = (2_560, 320)
    epochs: int = 50
    small: tuple[int, int] = (12_000, 1_700)
    small_steps: int = 400


WHOLE = Scale(
    {
        "resnet50": (256, 128),
        "efficientnet_b0": (256, 128),
        "convnext_tiny": (128, 256),
        "convnext_large": (64, 128),
    }
)
SMALL = Scale(
    {"resnet18": (4, 8)},
    size=32, dtype="f32", compile=False, steps=2, turns=1, loop=("resnet18", 8), period=2,
    recipe=(64, 16), epochs=1, small=(64, 16), small_steps=2,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sitting:
    """What all parts of a sitting share.

    Attributes:
      peers: Python with torch and timm.
      step: The script that times a peer's step.
      data: Folder of the recipe's pictures; None: random ones.
      scale: How large everything is.
      folder: Where pictures and compiled programs are kept meanwhile.
    """

    peers: str
    step: str
    data: Path | None
    scale: Scale
    folder: Path

    @property
    def setting(self) -> steps.Setting:
        """Of whole steps; the batches are the network's own."""
        scale = self.scale
        return steps.Setting(
            self.peers, self.step, scale.size, scale.dtype, (), scale.compile, augment=True,
            turns=scale.turns, keras_turns=0, steps=scale.steps,
        )  # fmt: skip

    @property
    def dtype(self) -> str:
        return steps.DTYPES[self.scale.dtype]

    def cache(self, name: str = "bcjax") -> dict[str, str]:
        """Where bcjax keeps what it has prepared and compiled."""
        return {"BCJAX_CACHE": str(self.folder / name)}


Measure = Callable[[Sitting, Deadline], Answer]


def of(scale: Scale) -> dict[str, tuple[float, Measure]]:
    """All parts, in turn: by name, the share of the time that each may take, and how.

    The last network is the last part: of ConvNeXt-L, each side compiles longest, and it is what is
    left out where the time does not suffice.
    """
    *networks, last = [(name, (4.0, network(name))) for name in scale.batches]
    others = {"loop": (3.0, loop), "recipe": (3.0, recipe), "small": (2.0, small)}
    return {"peaks": (0.5, peaks), **dict(networks), **others, last[0]: last[1]}


def peaks(sitting: Sitting, deadline: Deadline) -> Answer:
    """The most that the device is seen to do, by dtype."""
    ask = (
        "import json; from bcjax.benchmark import machine; "
        f"print(json.dumps({{d: machine.peaks(d).to_dict() for d in {('bfloat16', 'float32')}}}))"
    )
    return programs.answer([sys.executable, "-c", ask], deadline=deadline)


def network(name: str) -> Measure:
    """Whole training steps of a network beside timm's."""

    def measure(sitting: Sitting, deadline: Deadline) -> Answer:
        setting = dataclasses.replace(sitting.setting, batches=sitting.scale.batches[name])
        return steps.compare(name, setting, sitting.folder, deadline)

    return measure


def loop(sitting: Sitting, deadline: Deadline) -> Answer:
    """The training loop over the bare step, by store; and with evaluations and checkpoints."""
    scale = sitting.scale
    name, batch = scale.loop
    settings = {
        "model.name": name,
        "model.dtype": sitting.dtype,
        "train.batch_size": batch,
        "train.length": "10000 steps",
        "eval.every": f"{scale.period} steps",
        "data.source": _recipe_pictures(sitting, deadline)["source"],
        "data.image_size": scale.size,
    }
    flags = ("--what=train", "--evaluations=2", "--json", f"--steps={2 * scale.steps}")
    found: Answer = {"network": name, "batch": batch}
    for store in ("device", "host"):
        with_store = settings | {"data.store": store}
        command = programs.bcjax("benchmark", "resnet50.py", with_store, *flags)
        found[store] = programs.timed(command, sitting.cache(), deadline, part="train")
    return found


def recipe(sitting: Sitting, deadline: Deadline) -> Answer:
    """Wall time of the recipe's whole command, with no compiled program at hand and with all."""
    scale = sitting.scale
    prepared = _recipe_pictures(sitting, deadline)
    settings = {
        "model.dtype": sitting.dtype,
        "train.length": f"{scale.epochs} epochs",
        "data.source": prepared["source"],
        "data.image_size": scale.size,
    }
    found: Answer = {"epochs": scale.epochs, "prepare_s": prepared["seconds"]}
    for caches in ("cold", "warm"):
        if caches == "warm" and not deadline.allows(found["cold_s"]):
            break
        with tempfile.TemporaryDirectory() as workdir:
            command = programs.bcjax(
                "train", "deep_efficientnet.py", settings, f"--workdir={workdir}"
            )
            _, seconds = programs.run(command, sitting.cache("recipe"), deadline)
            tested = json.loads((Path(workdir) / "eval" / "test.json").read_text())
            session = json.loads((Path(workdir) / "sessions.jsonl").read_text().splitlines()[-1])
        found[f"{caches}_s"] = seconds
    found["examples"] = session["images"] // scale.epochs
    if sitting.data:
        found["accuracy"] = tested["metrics"]["accuracy"]
    return found


def small(sitting: Sitting, deadline: Deadline) -> Answer:
    """Whole epochs of 28 px over the bare step, evaluations and checkpoints included."""
    train, held = sitting.scale.small
    source = pictures.write(sitting.folder / "small.npz", 28, train=train, held=held)
    settings = {
        "model.dtype": sitting.dtype,
        "train.batch_size": min(64, train),
        "data.source": source,
        "data.image_size": 28,
    }
    flags = ("--what=train", "--evaluations=3", "--json", f"--steps={sitting.scale.small_steps}")
    command = programs.bcjax("benchmark", "resnet18.py:small", settings, *flags)
    return programs.timed(command, sitting.cache(), deadline, part="train")


def _recipe_pictures(sitting: Sitting, deadline: Deadline) -> Answer:
    """Prepares the recipe's pictures, once; returns where they are, and the seconds it took."""
    out, note = sitting.folder / "prepared", sitting.folder / "prepared.json"
    if not note.exists():
        source = sitting.data
        if not source:
            train, held = sitting.scale.recipe
            source = sitting.folder / "recipe.npz"
            pictures.write(source, sitting.scale.size, train=train, held=held)
        settings = {
            "data.source": source,
            "data.drop": ("conflicts",),
            "data.val_fraction": 0.1,
            "data.test_fraction": 0.1,
        }
        command = programs.bcjax("prepare", "deep_efficientnet.py", settings, f"--out={out}")
        _, seconds = programs.run(command, None, deadline)
        note.write_text(json.dumps({"source": str(out), "seconds": seconds}))
    return json.loads(note.read_text())
