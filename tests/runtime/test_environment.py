"""What a program runs on is known by its content."""

import importlib

import bcjax
from bcjax.runtime import environment


def test_the_digest_of_code_follows_every_file_of_a_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "cells_alone.py").write_text("A = 1\n")
    (tmp_path / "cells_package").mkdir()
    (tmp_path / "cells_package" / "__init__.py").touch()
    (tmp_path / "cells_package" / "networks.py").write_text("A = 1\n")
    importlib.invalidate_caches()
    names = ("cells_alone", "cells_package", "cells_package.networks")
    before = [environment.code_digest(name) for name in names]
    for path in (tmp_path / "cells_alone.py", tmp_path / "cells_package" / "networks.py"):
        path.write_text("A = 2\n")
    after = [environment.code_digest(name) for name in names]
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert environment.code_digest() == environment.code_digest(bcjax.__name__)
