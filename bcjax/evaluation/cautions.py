"""What a reader of a result must know: which of its pictures had a part in making the network."""

import hashlib
from pathlib import Path

from ml_collections import ConfigDict

from bcjax.data.prepared import Prepared
from bcjax.runtime.run_dir import RunDir


def of_split(workdir: Path, config: ConfigDict, prepared: Prepared, split: str) -> list[str]:
    """Sentences about a split of the run's own data.

    Args:
      workdir: The run's folder.
      config: The run's.
      prepared: Its pictures, as they are found now.
      split: Of these.
    """
    trained_on = RunDir(workdir).trained_on()
    if trained_on and trained_on.digest != prepared.digest:
        return ["The pictures or their splits have changed: some may have been trained on."]
    if split == "train":
        return ["The network was trained on these pictures: others will be answered less well."]
    if split == config.eval.split:
        return ["The checkpoint was chosen by these pictures: others may be answered less well."]
    return []


def of_other(workdir: Path, prepared: Prepared, split: str) -> list[str]:
    """Sentences about other data: whether pictures of it, equal to the byte, were trained on.

    Args:
      workdir: The run's folder.
      prepared: The other data.
      split: Of it.
    """
    trained_on = RunDir(workdir).trained_on()
    if trained_on is None or not Prepared.is_at(Path(trained_on.path)):
        return ["Whether the network was trained on any of these pictures is not known."]
    trained = _digests(Prepared(Path(trained_on.path)), "train")
    seen = [digest in trained for digest in _digests(prepared, split)]
    if not any(seen):
        return []
    return [
        f"The network was trained on {sum(seen):,} of these {len(seen):,} pictures: others will "
        "be answered less well."
    ]


def _digests(prepared: Prepared, split: str) -> dict[bytes, None]:
    """Of the encoded pictures, each once."""
    if not prepared.size(split):
        return {}
    examples = prepared.examples(split)
    positions = range(len(examples))
    return {
        hashlib.sha256(example.image).digest(): None
        for start in positions[::1000]
        for example in examples[positions[start : start + 1000]]
    }
