"""Augmentation on the device: pure functions `f(key, image) -> image` of one float picture."""
