"""The report on one result: report.json for programs, report.html for people."""

from objectscan.report.html import render_html
from objectscan.report.model import SCHEMA_VERSION, Run, report_document
from objectscan.report.pictures import ReportPictures, report_pictures
from objectscan.report.write import write_report

__all__ = [
    "SCHEMA_VERSION",
    "ReportPictures",
    "Run",
    "render_html",
    "report_document",
    "report_pictures",
    "write_report",
]
