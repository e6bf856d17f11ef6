"""The audit of both papers."""

from __future__ import annotations

from functools import cache

from hccbook.audit import alarm, amap_ct
from hccbook.audit.findings import CERTAINTIES, AuditReport
from hccbook.audit.ledger import Ledger


@cache
def everything() -> AuditReport:
    """Run every check on both papers, once."""
    findings, agreements = [], []
    for module in (alarm, amap_ct):
        paper = module.read()
        ledger = Ledger(paper)
        for check in module.CHECKS:
            check(ledger, paper)
        found, agreeing = ledger.close()
        findings += sorted(found, key=lambda one: CERTAINTIES.index(one.certainty))
        agreements += agreeing
    return AuditReport(tuple(findings), tuple(agreements))


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
    return everything().filtered(paper, certainty)
