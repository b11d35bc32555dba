"""Many runs of one config: sweeps over its values, and ablations of its parts.

Every trial is an ordinary run in a folder of its own. It is judged on the split that is watched
during training; the test split is left for the run that is chosen.
"""
