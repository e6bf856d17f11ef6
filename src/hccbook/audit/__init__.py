"""Audit of printed numbers: what a paper prints, compared with what else it prints.

Each family of checks is a module of functions on plain numbers and of checks that apply them to a transcribed paper;
`audit_folder` applies all of them, and `audit` those of the two papers of this book.
"""

from hccbook.audit.findings import CERTAIN, IMPLIED, ROUNDING, AuditReport
from hccbook.audit.papers import audit, audit_folder, audit_folders, published_paper
from hccbook.audit.printed import Range, printed_range
from hccbook.audit.report import (
    agreement_for_page,
    alarm_table,
    denominator_table,
    findings_for_page,
    not_applied_for_page,
    recall_table,
    report_for_terminal,
    two_by_two_frame,
)
from hccbook.audit.two_by_two import TwoByTwo, compatible_tables
