"""Show what is kept to save time, and how large it is, or delete it.

  bcjax cache
  bcjax cache --clear=programs,xla

It lies in $BCJAX_CACHE, or ~/.cache/bcjax. All of it is made anew when it is needed: deleting it
costs time and nothing else.
"""

import shutil
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bcjax.cli.flags import Arguments, Flag
from bcjax.config import nearest
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

_PARTS = {
    "programs": "compiled programs, ready to run; at most 2 GB",
    "xla": "JAX's cache of compiled programs",
    "data": "prepared pictures of sources that are not prepared themselves",
    "contents": "what files were found to hold, so that they are not read again",
}
FLAGS = (Flag("clear", f"What to delete, by comma: {', '.join(_PARTS)}.", [], list),)


def run(arguments: Arguments) -> None:
    for name in arguments.clear:
        if name not in _PARTS:
            hint = nearest(name, list(_PARTS))
            raise UserError(f"--clear has {name!r}, which is none of {', '.join(_PARTS)}{hint}")
    folder = files.cache_folder()
    for name in arguments.clear:
        shutil.rmtree(folder / name, ignore_errors=True)
    table = Table("part", "files", "size", "what it is", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, meaning in _PARTS.items():
        sizes = [path.lstat().st_size for path in _files(folder / name)]
        table.add_row(name, f"{len(sizes):,}", f"{sum(sizes) / 1e6:,.1f} MB", meaning)
    Console().print(f"{folder}", table, sep="\n", highlight=False)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
