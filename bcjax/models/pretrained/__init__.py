"""Weights from elsewhere: read without running anything in them, converted, checked, recorded."""
