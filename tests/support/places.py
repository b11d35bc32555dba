"""Where the checkout, the test data and the optional real pictures are."""

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
SHARED = ROOT.parent / "shared"  # real pictures and weights; tests that need them skip without
REAL = SHARED / "data"
