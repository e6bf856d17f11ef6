"""The audit of both papers."""

from __future__ import annotations

from functools import cache

from hccbook.audit import intervals
from hccbook.audit.alarm import audit_alarm
from hccbook.audit.amap_ct import audit_amap_ct
from hccbook.audit.findings import AuditReport, in_order


@cache
def _everything() -> AuditReport:
    alarm, amap_ct = audit_alarm(), audit_amap_ct()
    return AuditReport(findings=in_order([*alarm[0], *amap_ct[0]]), agreements=(*alarm[1], *amap_ct[1]))


def forget() -> None:
    """Drop the kept report, so that the next `audit` works everything out again."""
    _everything.cache_clear()
    intervals.ways_to_reproduce.cache_clear()


def audit(paper: str | None = None, certainty: str | None = None) -> AuditReport:
    """Compare what both papers print with what else they print.

    No patient data enter: only the transcription in ``data/published``, rounding respected throughout.

    Parameters
    ----------
    paper : {'alarm', 'amap_ct'}, optional
        One paper; both when left out.
    certainty : str, optional
        One of `findings.CERTAINTIES`, or ``certain`` or ``implied`` for short; all when left out.

    Returns
    -------
    AuditReport
        Findings by paper and certainty, and what was checked and agrees.

    Raises
    ------
    DataError
        If the paper or the certainty is unknown, or a number that a check needs is not transcribed.
    """
    return _everything().filtered(paper, certainty)
