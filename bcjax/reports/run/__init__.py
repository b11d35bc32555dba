"""The report of a run, made from what it left in its folder."""

from bcjax.reports.run.report import Report, write_report

__all__ = ["Report", "write_report"]
