"""What the pages beside a file of weights say: how pictures were prepared, what the classes are.

Timm writes a config.json with a "pretrained_cfg"; Hugging Face's transformers write a config.json
and a preprocessor_config.json.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Page = Mapping[str, Any]


def settings(weights: Path) -> dict[str, Any]:
    """Returns what is said of a file's pictures.

    Args:
      weights: The file.

    Returns:
      As many as are said of `mean`, `std` (of R, G and B, for pictures in 0..1), `input_size`
      (pixels), `resize` ("squash" | "crop"), `crop_fraction` and `convention`.
    """
    config = _page(weights.with_name("config.json"))
    if "pretrained_cfg" in config:
        return _timm(config)
    return _transformers(_page(weights.with_name("preprocessor_config.json")))


def classes(weights: Path) -> tuple[str, ...]:
    """Returns the names of the logits; () where no page says them."""
    names = _page(weights.with_name("config.json")).get("id2label")
    if not isinstance(names, Mapping):
        return ()
    ordered = tuple(str(names[key]) for key in sorted(names, key=int))
    unnamed = all(name == f"LABEL_{i}" for i, name in enumerate(ordered))
    return () if unnamed or len(set(ordered)) < len(ordered) else ordered


def _timm(page: Page) -> dict[str, Any]:
    said = page["pretrained_cfg"]
    # The one thing that names of tensors do not tell: whose arithmetic the weights expect.
    ported = str(page.get("architecture", "")).startswith("tf_")
    found: dict[str, Any] = {"convention": "tf" if ported else "torch"}
    found |= {key: tuple(said[key]) for key in ("mean", "std") if key in said}
    if "input_size" in said:
        found["input_size"] = said["input_size"][-1]
    if "crop_pct" in said:
        squash = said.get("crop_mode") == "squash"
        found["resize"] = "squash" if squash else "crop"
        found["crop_fraction"] = 1.0 if squash else said["crop_pct"]
    return found


def _transformers(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "image_mean" in page and page.get("do_normalize", True):
        found |= {"mean": tuple(page["image_mean"]), "std": tuple(page["image_std"])}
    resized, cropped = _side(page.get("size")), _side(page.get("crop_size"))
    if page.get("do_center_crop") and resized and cropped:
        found |= {"resize": "crop", "crop_fraction": cropped / resized, "input_size": cropped}
    elif resized and page.get("crop_pct"):
        found |= {"resize": "crop", "crop_fraction": page["crop_pct"], "input_size": resized}
    elif resized:
        found |= {"resize": "squash", "crop_fraction": 1.0, "input_size": resized}
    return found


def _side(size: Any) -> int:
    """224 from 224, {"height": 224, "width": 224} or {"shortest_edge": 224}; else 0."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge", size.get("height", 0))
    return size if isinstance(size, int) else 0


def _page(path: Path) -> Page:
    """The page's JSON object; {} where there is none."""
    with contextlib.suppress(OSError, ValueError):
        page = json.loads(path.read_text())
        return page if isinstance(page, dict) else {}
    return {}
