"""Colours of classes, splits and channels: of middle lightness, to read on light and on dark."""

import colorsys

SPLITS = {"train": "#5b7db1", "val": "#d9a441", "test": "#b5576f"}
CHANNELS = {"red": "#d2504b", "green": "#4f9d5f", "blue": "#4a80c4"}

# The ten of Tableau, after Maureen Stone; its grey is a little darker here.
_TEN = (
    "#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f",
    "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#8f8a86",
)  # fmt: skip


def of_classes(count: int) -> list[str]:
    """Returns that many colours; more than ten are hues, in turn darker and lighter."""
    if count <= len(_TEN):
        return list(_TEN[:count])
    hls = ((i / count, 0.45 if i % 2 else 0.66, 0.6) for i in range(count))
    return ["#" + "".join(f"{round(255 * v):02x}" for v in colorsys.hls_to_rgb(*c)) for c in hls]
