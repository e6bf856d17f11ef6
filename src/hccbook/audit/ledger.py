"""The ledger of one paper's audit: what every check said, and what each failure means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from hccbook.audit.explanations import TEXTS, Explanation
from hccbook.audit.findings import Agreement, CheckResult, Discrepancy, Finding
from hccbook.audit.transcription import Transcription

UNEXPLAINED = "Not weighed: a general check found it, and nobody has yet said what it means."


class Ledger:
    """Collects the outcome of every check of one paper, and what each failure means.

    A discrepancy becomes a finding through the entry in ``findings.yaml`` that takes it up and says what it means; one
    that none does is a finding with its own arithmetic. A check whose values all agree is recorded as an agreement, so
    that nothing that was looked at gets lost.

    Parameters
    ----------
    paper : Transcription
    """

    def __init__(self, paper: Transcription) -> None:
        self.paper = paper
        self.findings: list[Finding] = []
        self.agreements: list[Agreement] = []
        self._open: list[tuple[str, Discrepancy]] = []

    def record(self, result: CheckResult) -> None:
        """Record a check: what agrees at once, what fails for `explain`."""
        agreeing = result.cells - len(result.discrepancies)
        if agreeing > 0:
            self.agreements.append(Agreement(self.paper.name, result.check, result.place, result.what, agreeing))
        self._open += [(result.place, one) for one in result.discrepancies]

    def explain(self, entries: Iterable[Explanation]) -> None:
        """Turn open discrepancies into the findings whose entries take them up; each is taken up once."""
        for entry in entries:
            picked = [pair for pair in self._open if entry.picks(pair[1])]
            if picked:
                self._open = [pair for pair in self._open if pair not in picked]
                self._find(entry, picked)

    def close(self) -> None:
        """Make what no entry takes up findings of their own."""
        for position, (place, one) in enumerate(self._open, start=1):
            known = {name: getattr(one, name) for name in ("check", "printed", "recomputed", "arithmetic", "certainty")}
            # A check that knows what its failure means names its finding by what it asks.
            name = one.cell if one.consequence else f"unexplained-{position}"
            known["place"] = place if one.consequence else f"{place}, {one.cell}"
            known["consequence"] = one.consequence or UNEXPLAINED
            self.findings.append(Finding(f"{self.paper.description.slug}-{name}", self.paper.name, **known))
        self._open = []

    def _find(self, entry: Explanation, picked: Collection[tuple[str, Discrepancy]]) -> None:
        values: Mapping[str, object] = entry.values_of(self.paper, [one for _, one in picked])
        texts = {field: entry.text(field, values) for field in TEXTS}
        texts["place"] = texts["place"] or _joined(f"{place}, {one.cell}" for place, one in picked)
        for field in ("printed", "recomputed", "arithmetic", "certainty"):
            texts[field] = texts[field] or _joined(getattr(one, field) for _, one in picked)
        texts["arithmetic"] = _joined([texts["arithmetic"], texts.pop("also")])
        check = picked[0][1].check
        self.findings.append(Finding(entry.id, self.paper.name, check=check, claims=entry.claims, **texts))


def _joined(lines: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(line for line in lines if line))
