"""Many runs of one config: sweeps over its values, and ablations of what is in it.

Every trial is an ordinary run in a folder of its own, and is judged on the split that is watched
during training: the test split is left for the one that is chosen.
"""
