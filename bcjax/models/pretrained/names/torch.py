"""The rules that all networks of PyTorch share: how its layers name their tensors."""

from collections.abc import Callable

from bcjax.models.pretrained.layout import Rule, unneeded

# What weights of torchvision and timm want unless a file beside them says otherwise.
IMAGENET = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "resize": "crop",
    "crop_fraction": 0.875,
}

# Of batch norm's steps so far, which count for nothing.
COUNTERS = unneeded(r".*\.num_batches_tracked")

_KERNEL = {"weight": "params/{}/kernel", "bias": "params/{}/bias"}
_NORM = {
    "weight": "params/{}/scale",
    "bias": "params/{}/bias",
    "running_mean": "batch_stats/{}/mean",
    "running_var": "batch_stats/{}/var",
}


def kernel(pattern: str, module: str | Callable[..., str]) -> Rule:
    """A rule for a convolution or a dense layer.

    Args:
      pattern: Of the layer's name.
      module: Its path in ours, or a function to that from the pattern's groups, of which numbers
        come as int.
    """
    return _layer(pattern, module, _KERNEL)


def norm(pattern: str, module: str | Callable[..., str]) -> Rule:
    """A rule for a normalisation, as `kernel`."""
    return _layer(pattern, module, _NORM)


def _layer(pattern: str, module: str | Callable[..., str], leaves: dict[str, str]) -> Rule:
    def path(*groups: str) -> str:
        *where, leaf = groups
        known = [int(group) if group.isdigit() else group for group in where]
        return leaves[leaf].format(module if isinstance(module, str) else module(*known))

    return Rule(rf"{pattern}\.({'|'.join(leaves)})", path)
