"""Evaluation: answers of trained networks, their metrics and calibration, and predictions.

`evaluate.py` and `calibrate.py` hold what the commands of these names do.
"""
