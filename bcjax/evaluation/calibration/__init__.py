"""Calibration: how far a network's confidence can be trusted, fitted on held-out pictures."""
