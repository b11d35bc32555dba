"""Calibration: what a network's confidence is worth, fitted on held-out pictures."""
