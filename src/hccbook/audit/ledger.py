"""The ledger of one paper's audit: what every check said, and what each failure means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict

from hccbook.audit.explanations import FILE, TEXTS, Explanation, explanations
from hccbook.audit.findings import CERTAIN, Agreement, CheckResult, Discrepancy, Finding
from hccbook.audit.lookup import Transcription
from hccbook.errors import DataError

UNEXPLAINED = "Not weighed: the general check found it, and nobody has yet said what it means."


class Ledger:
    """Collects the outcome of every check of one paper, and what each failure means.

    A discrepancy becomes a finding through its entry in ``findings.yaml``, which says what it means; one that no
    entry explains is still reported, with its arithmetic, when the ledger is closed. A check whose values all agree
    is recorded as an agreement, so that nothing that was looked at gets lost.

    Parameters
    ----------
    paper : Transcription
    entries : iterable of Explanation, optional
        What its findings mean; those of ``findings.yaml`` when left out.
    """

    def __init__(self, paper: Transcription, entries: Iterable[Explanation] | None = None) -> None:
        self.paper = paper
        self._entries = {one.id: one for one in (explanations(paper.name) if entries is None else entries)}
        self._unused = set(self._entries)
        self._findings: list[Finding] = []
        self._agreements: list[Agreement] = []
        self._open: list[tuple[str, Discrepancy]] = []

    def record(self, place: str, *results: CheckResult, what: str = "") -> None:
        """Record checks, as one comparison where `what` names it: what agrees at once, what fails for `explain`."""
        for result in (CheckResult.joined(results[0].check, what, results),) if what and results else results:
            agreeing = result.cells - len(result.discrepancies)
            if agreeing > 0:
                self._agreements.append(Agreement(self.paper.name, result.check, place, result.what, agreeing))
            self._open += [(place, one) for one in result.discrepancies]

    def explain(self, name: str, among: Collection[str] | None = None, /, **values: object) -> None:
        """Turn the open discrepancies that an entry picks into one finding; nothing where it picks none.

        Parameters
        ----------
        name : str
            Id of the finding, without the paper's name.
        among : collection of str, optional
            Cells that the arithmetic leaves in question; all that the entry picks when left out.
        **values : object
            What fills the placeholders of the entry.
        """
        entry, values = self._entry(name, values)
        picked = [
            (place, one) for place, one in self._open if entry.picks(one) and (among is None or one.cell in among)
        ]
        if picked:
            self._open = [pair for pair in self._open if pair not in picked]
            self._find(entry, picked[0][1].check, values, picked)

    def expect(self, name: str, holds: bool, cells: int = 1, /, **values: object) -> None:
        """Record what an entry expects where it holds, and its finding where it does not.

        Parameters
        ----------
        name, **values
            As in `explain`.
        holds : bool
        cells : int
            Comparisons made.
        """
        entry, values = self._entry(name, values)
        if holds:
            self.record(entry.expects.place, CheckResult(entry.expects.check, entry.expected(values), cells))
        else:
            self._find(entry, entry.expects.check, values)

    def leave_out(self, *names: str) -> None:
        """Say that checks behind some findings cannot be made on the numbers as they are."""
        self._unused -= {self._id(name) for name in names}

    def close(self) -> tuple[list[Finding], list[Agreement]]:
        """Findings and agreements; a discrepancy that no entry explains is a finding without a reading.

        Raises
        ------
        DataError
            If an entry of ``findings.yaml`` is of no check.
        """
        if self._unused:
            raise DataError(
                f"{FILE}: {', '.join(sorted(self._unused))}",
                "an entry must be of a finding that the audit looks for",
                "one that no check asks for",
                "Remove it, or correct its id.",
            )
        for position, (place, one) in enumerate(self._open, start=1):
            fields = asdict(one)
            where, name = f"{place}, {fields.pop('cell')}", self._id(f"unexplained-{position}")
            self._findings.append(
                Finding(name, self.paper.name, where, certainty=CERTAIN, consequence=UNEXPLAINED, **fields)
            )
        self._open = []
        return self._findings, self._agreements

    def _id(self, name: str) -> str:
        return f"{self.paper.name.replace('_', '-')}-{name}"

    def _entry(self, name: str, values: Mapping[str, object]) -> tuple[Explanation, dict[str, object]]:
        if self._id(name) not in self._entries:
            raise DataError(FILE, "must say what a finding means", f"no entry {self._id(name)}", "Add it.")
        entry = self._entries[self._id(name)]
        self._unused.discard(entry.id)
        every_value = entry.printed_numbers(self.paper) | values
        entry.refuse_unknown(every_value)
        return entry, every_value

    def _find(
        self,
        entry: Explanation,
        check: str,
        values: Mapping[str, object],
        picked: Collection[tuple[str, Discrepancy]] = (),
    ) -> None:
        texts = {field: entry.text(field, values) for field in TEXTS}
        texts["place"] = texts["place"] or _joined(f"{place}, {one.cell}" for place, one in picked)
        for field in ("printed", "recomputed", "arithmetic"):
            texts[field] = texts[field] or _joined(getattr(one, field) for _, one in picked)
        texts["arithmetic"] = _joined([texts["arithmetic"], texts.pop("also")])
        self._findings.append(Finding(entry.id, entry.paper, check=check, claims=entry.claims, **texts))


def _joined(lines: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(line for line in lines if line))
