"""Audit of the printed numbers: what both papers print, compared with what else they print.

Each family of checks is a module of functions on plain numbers, of use on any such paper; `alarm` and `amap_ct`
apply them, and `audit` runs everything.
"""

from hccbook.audit.amap_ct import two_by_two_frame
from hccbook.audit.findings import CERTAIN, IMPLIED, ROUNDING, AuditReport
from hccbook.audit.papers import audit
from hccbook.audit.printed import Range, printed_range
from hccbook.audit.report import agreement_for_page, denominator_table, findings_for_page, report_for_terminal
from hccbook.audit.two_by_two import TwoByTwo, compatible_tables
