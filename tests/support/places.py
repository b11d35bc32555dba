"""Where the checkout, the test data, the tests' caches and the optional real pictures are."""

import os
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
SHARED = ROOT.parent / "shared"  # real pictures and weights; tests that need them skip without
REAL = SHARED / "data"
# What tests keep from one session to the next.
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "bcjax-tests"
