"""The pages docs/published/*.md: `python -m bcjax.config.published_docs`.

A project's page is the docstring of its config, and what its variants set. techniques.md says for
every technique that the projects name which key or command it is here.
"""

import ast
import re
from pathlib import Path

from bcjax.config.files import CONFIGS, get
from bcjax.config.tree import default, flatten

_WRITTEN = "<!-- Written by `python -m bcjax.config.published_docs`"
FOLDER = Path(__file__).parents[2] / "docs" / "published"

# The variants of each config, in the order of its docstring.
VARIANTS = {
    "an2dl_convnext": ("custom", "small", "base", "large"),
    "bccd_raw": ("resnet", "efficientnet", "alexnet"),
    "edge_impulse": ("mobilenet_v2_160", "mobilenet_v1_96", "conv2d"),
    "elu_resnet50": (
        "adam", "rmsprop", "sgd", "sgd_dropout", "resnet50_frozen", "resnet50_partial",
        "resnet50_full",
    ),
    "pbc3200": ("simple_cnn", "resnet18", "efficientnet_lite", "deep_efficientnet"),
}  # fmt: skip

_MORE = {
    "pbc3200": """\
## Where its documents differ

What the README says counts here.

| | README | MODEL_ANALYSIS.md | notebook |
|---|---|---|---|
| rotation | 30 degrees | | 20 degrees |
| learning rate | 1e-3 | 3e-4 | |
| squeeze-and-excitation | in stages 3 and 4, a quarter | after every stage, a sixteenth | |
| DeepEfficientNet | 1.84 million parameters | 6.3 million | EfficientNet-B0 in its place |
| SimpleCNN | 26.08 million | 2.1 million | |
""",
}

# What the five projects name, and what it is here: a key, an operation of augment.ops, a command.
TECHNIQUES: dict[str, tuple[tuple[str, str], ...]] = {
    "Pictures": (
        ("several folders merged and split anew", "data.resplit"),
        ("shares for validation and testing", "data.val_fraction"),
        ("copies of one picture kept on one side", "data.group_by"),
        ("doubles, and pictures that are no cells, left out", "data.drop"),
        ("classes left out", "data.drop_classes"),
        ("a share of a class deleted", "data.keep"),
        ("rows without a label, or with two, left out", "data.on_unlabelled"),
        ("squash, crop (fit shortest) or letterbox (fit longest)", "data.resize"),
        ("grey pictures", "data.grey"),
        ("everything but the cell painted over", "data.mask"),
        ("balanced by augmentation to a number of pictures", "train.epoch_size"),
        ("rare classes shown several times", "train.repeat"),
        ("each class shown equally often", "train.sampling"),
        ("class weights", "train.class_weights"),
    ),
    "Augmentation": (
        ("flips", "augment: flip"),
        ("rotation", "augment: rotate"),
        ("affine moves", "augment: translate"),
        ("zoom", "augment: scale"),
        ("colour jitter", "augment: hue"),
        ("RandAugment", "augment: rand_augment"),
        ("CutMix", "augment: cutmix"),
        ("MixUp", "augment: mixup"),
        ("CutOut", "augment: cutout"),
        ("GridMask", "augment: grid_mask"),
        ("random masking", "augment: cell_mask"),
        ("validation on augmented pictures", "eval.also"),
    ),
    "Networks": (
        ("ELU CNN, SimpleCNN, conv2d and other networks by name", "model.name"),
        ("filters and depth of a network", "model.widths"),
        ("kernel size", "model.kernel_size"),
        ("neurons before the answer", "model.hidden"),
        ("squeeze-and-excitation", "model.squeeze"),
        ("dropout", "model.dropout"),
        ("drop path", "model.drop_path"),
        ("L1 and L2 on the classifier", "model.l1"),
        ("width multiplier", "model.alpha"),
        ("weights of ImageNet", "model.weights"),
        ("mixed precision", "model.dtype"),
    ),
    "Training": (
        ("a frozen network, or its last layers", "finetune.trainable"),
        ("two phases", "finetune.first.length"),
        ("Adam, AdamW, RMSprop, SGD, Lion", "optim.name"),
        ("learning rate", "optim.lr"),
        ("weight decay", "optim.weight_decay"),
        ("cosine, steps or a constant learning rate", "optim.schedule"),
        ("warm-up", "optim.warmup"),
        ("the learning rate lowered on a plateau", "optim.plateau.patience"),
        ("clipped gradients", "optim.clip_norm"),
        ("label smoothing", "train.label_smoothing"),
        ("early stopping", "train.patience"),
        ("cycles (epochs)", "train.length"),
    ),
    "Judging": (
        ("confusion matrix, precision, recall and F1", "bcjax report"),
        ("ablations", "bcjax ablate"),
        ("a search over settings, with latency and size", "bcjax sweep"),
        ("heat maps (Grad-CAM)", "bcjax explain"),
        ("runs beside each other", "bcjax compare"),
        ("distribution of the classes", "bcjax explore"),
    ),
}


def render() -> dict[str, str]:
    """Returns the pages as Markdown, by the names of their files."""
    pages = {f"{name}.md": _project(name, variants) for name, variants in VARIANTS.items()}
    return pages | {"techniques.md": _techniques()}


def _project(name: str, variants: tuple[str, ...]) -> str:
    said = ast.get_docstring(ast.parse((CONFIGS / "published" / f"{name}.py").read_text())) or ""
    title, _, text = said.partition("\n")
    text = re.sub(r"^(published|ours|not as published)(.*):\n", _heading, text, flags=re.MULTILINE)
    parts = [
        f"# {title.rstrip('.')}",
        f"{_WRITTEN} from configs/published/{name}.py. -->",
        text.strip("\n"),
        _MORE.get(name, ""),
        f"## What the config sets\n\n{_values(name, variants)}",
    ]
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def _heading(match: re.Match[str]) -> str:
    return f"## {match[1].capitalize()}{match[2]}\n\n"


def _values(name: str, variants: tuple[str, ...]) -> str:
    """Returns tables of the keys that differ from their defaults, and from variant to variant."""
    before = flatten(default())
    each = [flatten(get(f"published/{name}:{variant}")) for variant in variants]
    changed = [key for key in before if any(leaves[key] != before[key] for leaves in each)]
    alike = [key for key in changed if all(leaves[key] == each[0][key] for leaves in each)]
    common = ["| key | every variant |", "|---|---|"]
    common += [f"| `{key}` | {_written(each[0][key])} |" for key in alike]
    own = ["".join(f"| {cell} " for cell in ("key", *(f"`:{v}`" for v in variants))) + "|"]
    own.append("|---" * (len(variants) + 1) + "|")
    for key in (key for key in changed if key not in alike):
        values = [_written(leaves[key]) for leaves in each]
        own.append(f"| `{key}` | {' | '.join(values)} |")
    return "\n".join([*common, "", *own])


def _written(value: object) -> str:
    return "none" if value is None else f"`{value!r}`".replace("'", '"').replace("|", "&#124;")


def _techniques() -> str:
    parts = [
        "# What the projects name, and what it is here",
        f"{_WRITTEN}. -->",
        "Every technique that the five projects name, with its key, its operation in `augment.ops` "
        "or its command. See [all settings](../configuration.md) and "
        "[all augmentations](../augmentations.md).",
    ]
    for title, rows in TECHNIQUES.items():
        lines = ["| technique | here |", "|---|---|"]
        lines += [f"| {technique} | `{here}` |" for technique, here in rows]
        parts.append(f"## {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in render().items():
        (FOLDER / file).write_text(text)
