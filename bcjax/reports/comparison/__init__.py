"""Runs beside each other, from what they left in their folders: figures, tests, charts, a page."""
