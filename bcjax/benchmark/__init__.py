"""How fast each part of bcjax is on this machine, and how far that is from what the device can do.

Each subject has a function `measure_...` that returns its `figures.Figures`; `suite` measures
several of them in one process, and `tables` prints them.
"""

# In the order in which they are measured.
SUBJECTS = ("start", "step", "input", "train", "augment", "evaluate", "predict", "checkpoint")
