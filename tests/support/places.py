"""Where the checkout, the test data, the tests' caches and the optional real pictures are."""

import os
import subprocess
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
SHARED = ROOT.parent / "shared"  # real pictures and weights; tests that need them skip without
REAL = SHARED / "data"
# What tests keep from one session to the next.
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "bcjax-tests"


def project_files(*patterns: str) -> list[Path]:
    """The project's files that match a pattern, such as "configs/*.py".

    A person works in the checkout too: what git does not track is theirs, and not tested. Outside
    of git all files count.
    """
    command = ["git", "ls-files", "-z", "--", *(f":(glob){pattern}" for pattern in patterns)]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        return sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    tracked = (ROOT / name for name in listed.stdout.split("\0") if name)
    return sorted(path for path in tracked if path.exists())
