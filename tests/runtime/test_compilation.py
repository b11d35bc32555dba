"""The cache of compiled programs is a help, and never in the way."""

import jax
import pytest

from bcjax.runtime import compilation

KEY = "jax_compilation_cache_dir"


@pytest.fixture
def no_cache():
    before = getattr(jax.config, KEY)
    jax.config.update(KEY, None)
    yield
    jax.config.update(KEY, before)


def test_programs_are_kept_where_other_things_are(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path))
    compilation.use_cache()
    assert getattr(jax.config, KEY) == str(tmp_path / "xla")


def test_without_a_place_for_the_cache_there_is_none(no_cache, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path / "file"))
    compilation.use_cache()
    assert getattr(jax.config, KEY) is None
