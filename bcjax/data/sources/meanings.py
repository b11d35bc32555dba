"""What the class numbers of well-known .npz files mean, for the files themselves do not say."""

from collections.abc import Collection, Sequence

# From MedMNIST's info.py (Yang et al. 2023, "MedMNIST v2", doi:10.1038/s41597-022-01721-8).
BLOODMNIST = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "ig",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
# From the task of AN2DL's first challenge of 2024 (Politecnico di Milano): the same cells.
AN2DL = tuple("immature granulocytes" if name == "ig" else name for name in BLOODMNIST)


def of(
    filename: str, labels: Collection[int], classes: Sequence[str]
) -> tuple[Sequence[str], tuple[str, ...]]:
    """The classes that the numbers in a file stand for, and notes on where they come from.

    Args:
      filename: `bloodmnist*.npz` is MedMNIST's, `training_set*.npz` with eight classes AN2DL's.
      labels: The numbers that occur in it.
      classes: What the user says they mean; empty: nothing.

    Returns:
      Names in the order of the numbers; () where nobody says.
    """
    name = filename.lower()
    if name.startswith("bloodmnist"):
        return BLOODMNIST, ()
    if (
        name.startswith("training_set")
        and set(labels) == set(range(len(AN2DL)))
        and set(classes) in (set(), set(AN2DL))
    ):
        note = (
            f"The file names no classes: taken for AN2DL's, by its name {filename}, and 0 to 7 "
            f"for {', '.join(AN2DL)}; if it is not, name them in data.classes."
        )
        return AN2DL, (note,)
    return classes, () if classes else ("The file names no classes: name them in data.classes.",)
