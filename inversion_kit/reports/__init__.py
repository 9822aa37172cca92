"""One self-contained HTML page from any result, and its numbers as JSON."""

from inversion_kit.reports.page import to_html
from inversion_kit.reports.write import report, write_json, write_report

__all__ = ["report", "to_html", "write_json", "write_report"]
