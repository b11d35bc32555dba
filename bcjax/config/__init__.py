"""Configuration: one table of keys, and the tree, the checks and the pages that come from it.

A file in `configs/` starts from `default()` and says only what differs. The tree is locked: a key
that is not in the table is an error that names the nearest one.
"""

from ml_collections import ConfigDict

from bcjax.config.checks import check, check_source
from bcjax.config.files import choose, find, get, names, split_variant
from bcjax.config.image_size import ImageSize
from bcjax.config.lengths import resolve_length
from bcjax.config.suggest import check_key, nearest
from bcjax.config.table import KEYS, METRICS, OLD_NETWORKS, add_choice
from bcjax.config.tree import (
    default,
    describe,
    differences,
    flatten,
    from_dict,
    load,
    replaced,
    save,
)
from bcjax.config.values import check_argument, convert, parse

__all__ = [
    "KEYS", "METRICS", "OLD_NETWORKS", "ConfigDict", "ImageSize", "add_choice", "check",
    "check_argument", "check_key", "check_source", "choose", "convert", "default", "describe",
    "differences", "find", "flatten", "from_dict", "get", "load", "names", "nearest", "parse",
    "replaced", "resolve_length", "save", "split_variant",
]  # fmt: skip
