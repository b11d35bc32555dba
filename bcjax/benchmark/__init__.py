"""How fast each part of bcjax is here, and how far that is from what the device could do.

A room for each subject, with `measure(...) -> dict` in it; `sitting` measures several in a row.
"""

# In the order in which they are measured.
SUBJECTS = ("start", "step", "input", "train", "augment", "evaluate", "predict", "checkpoint")
