"""The index of items and claims, and what the front page says of them; nothing is judged or computed here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import nbformat
import pandas as pd
from docutils.nodes import make_id

from hccbook.audit.findings import CERTAIN, CERTAINTIES, CHECKS
from hccbook.book.generated_pages import STATUSES, chapter_title, render
from hccbook.papers import PAPERS, published
from hccbook.papers.published import Claim, Item
from hccbook.report.tables import cohort_title

NUMBERS_FILE = "printed_numbers.csv"
"""Every printed number with what the run has of it, beside the index."""

FINDINGS_COLUMNS = ("id", "paper", "place", "check", "printed", "recomputed", "arithmetic", "certainty", "consequence")

_SHOWN = 3
_SURE = CERTAINTIES[:2]
_HEADLINES = re.compile(r"\b(Title|Summary|Abstract)\b")
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_CODES = {status: code for code, status in STATUSES.items()}
_WORST_FIRST = tuple(
    STATUSES[code] for code in ("contradicted", "under_specified", "private", "reproduced", "recomputed")
)


class Anchors(NamedTuple):
    """Where the executed notebooks show what the index links to, as addresses from the root of the book.

    Attributes
    ----------
    findings : dict of str to str
        By id of the finding; one that has no row of its own is left out.
    checks : dict of str to str
        Section of the audit by family of checks.
    """

    findings: dict[str, str]
    checks: dict[str, str]


def anchors(notebooks: Mapping[str, nbformat.NotebookNode]) -> Anchors:
    """Places of findings and of families of checks in executed notebooks, by name of the notebook."""
    found = Anchors({}, {})
    for name, notebook in notebooks.items():
        section = f"notebooks/{name}.html"
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                titles = re.findall(r"^#{1,3} (.+)$", cell.source, flags=re.MULTILINE)
                section = f"notebooks/{name}.html#{make_id(titles[-1])}" if titles else section
                continue
            if "findings_for_page(" in cell.source:
                found.checks.update(dict.fromkeys(re.findall(r'"(\w+)"', cell.source), section))
            for output in cell.get("outputs", []):
                ids = re.findall(r'id="(finding-[\w-]+)"', str(output.get("data", {}).get("text/html", "")))
                found.findings.update({one.removeprefix("finding-"): f"notebooks/{name}.html#{one}" for one in ids})
    return found


def gravest(findings: pd.DataFrame, number: int = 3) -> list[Any]:
    """The gravest findings, by rule.

    They are certain from print and on a sentence of title, summary or abstract, which is what most people read; first
    come those whose claims rest on most printed numbers, then those that bear on most claims.

    Parameters
    ----------
    findings : pandas.DataFrame
        What the audit left of its findings.
    number : int
        How many.

    Returns
    -------
    list of namedtuple
        Rows of `findings`.
    """
    contradicted = {claim.id: claim for claim in published.claims() if claim.status == published.CONTRADICTED}

    def weight(one: Any) -> tuple[int, int]:
        behind = [contradicted[name] for name in _ids(one.claims) if name in contradicted]
        return -sum(len(published.numbers_of(claim)) for claim in behind), -len(_ids(one.claims))

    listed = [
        one
        for one in findings.itertuples(index=False)
        if one.certainty == CERTAIN and _HEADLINES.search(one.place) and _ids(one.claims)
    ]
    return sorted(listed, key=weight)[:number]


def _ids(joined: str) -> list[str]:
    return [name for name in str(joined).split(", ") if name]


def front_page_parts(
    claimed: Sequence[Claim],
    findings: pd.DataFrame,
    beside: pd.DataFrame,
    truth: pd.DataFrame | None,
    where: Anchors,
    *,
    synthetic: bool = True,
) -> dict[str, str]:
    """What the front page has of the claims, by the line that asks for it.

    Parameters
    ----------
    claimed : sequence of Claim
        Claims of the papers in this run.
    findings : pandas.DataFrame
        What the audit left of its findings.
    beside : pandas.DataFrame
        From `hccbook.pipeline.regenerated.beside_print`.
    truth : pandas.DataFrame or None
        AUC of an ideal observer by model, from chapter 8; None where the run has none.
    where : Anchors
    synthetic : bool
        Whether the run's patients are simulated.

    Returns
    -------
    dict of str to str
        MyST by marker.
    """
    papers = [paper for paper in PAPERS.values() if any(claim.paper == paper.name for claim in claimed)]
    grave = [
        one._asdict() | {"title": PAPERS[one.paper].title, "address": where.findings.get(one.id, "")}
        for one in gravest(findings)
    ]
    return {
        "% the claims": render("claims_count.md.j2", claims=claimed, claimed_papers=papers, statuses=STATUSES).strip(),
        "% the gravest findings": render("gravest.md.j2", findings=grave).strip(),
        "% the picture": render(
            "front_picture.md.j2", rows=_picture(papers, beside, truth), synthetic=synthetic
        ).strip(),
    }


def _picture(papers: Iterable[Any], beside: pd.DataFrame, truth: pd.DataFrame | None) -> list[dict[str, Any]]:
    """AUCs of the papers' models: printed, of this run, and of an ideal observer, by cohort."""
    printed = published.numbers().join(beside)
    rows = []
    for paper in papers:
        own = printed[
            printed["paper"].eq(paper.name) & printed["quantity"].eq("auc") & printed["subgroup"].eq("")
            & printed["lower_number"].notna()
        ]  # fmt: skip
        for cohort in paper.cohorts:
            first = own[own["cohort"] == cohort].iloc[0]
            rows.append(
                {
                    "label": f"{paper.title}, {cohort.replace('_', ' ')}",
                    "printed": [first[name] for name in ("number", "lower_number", "upper_number")],
                    "made": [first[name] for name in ("made", "made_lower", "made_upper")],
                    "truth": _truth(truth, paper.name) if cohort != paper.cohorts[0] else None,
                }
            )
    for row in rows:
        row["made"] = None if any(math.isnan(value) for value in row["made"]) else row["made"]
    return rows


def _truth(truth: pd.DataFrame | None, paper: str) -> float | None:
    if truth is None:
        return None
    own = truth.loc[truth["model"] == paper, "truth"].dropna()
    return None if own.empty else float(own.iloc[0])


def results_page(
    listed: Sequence[Item],
    claimed: Sequence[Claim],
    findings: pd.DataFrame,
    beside: pd.DataFrame,
    where: Anchors,
    *,
    synthetic: bool = True,
) -> str:
    """Index of every table and figure, and of every claim, as a MyST page.

    Parameters
    ----------
    listed : sequence of Item
        Items of the papers in this run.
    claimed : sequence of Claim
        Claims of those papers.
    findings : pandas.DataFrame
        What the audit left of its findings: `FINDINGS_COLUMNS` and claims.
    beside : pandas.DataFrame
        From `hccbook.pipeline.regenerated.beside_print`.
    where : Anchors
    synthetic : bool
        Whether the patients are simulated; otherwise the status says that the method ran on own data.

    Returns
    -------
    str
    """
    ran = published.REPRODUCED if synthetic else "method run on own data"
    index = _Index(listed, claimed, findings, published.numbers().join(beside), where)
    rows = [index.item_row(item) for item in listed] + [index.claim_row(claim) for claim in claimed]
    return render(
        "results.md.j2",
        rows=rows,
        items=listed,
        papers=[paper for paper in PAPERS.values() if any(one.paper == paper.name for one in (*listed, *claimed))],
        statuses={code: ran if code == "reproduced" else status for code, status in STATUSES.items()},
        codes=_CODES,
        certainties=CERTAINTIES,
        planned=published.PLANNED,
        numbers_file=NUMBERS_FILE,
        numbers=len(beside),
        made=int(beside["made"].notna().sum()),
        synthetic=synthetic,
    )


class _Index:
    """Rows of the index."""

    def __init__(
        self,
        listed: Iterable[Item],
        claimed: Iterable[Claim],
        findings: pd.DataFrame,
        numbers: pd.DataFrame,
        where: Anchors,
    ) -> None:
        self.items = {item.id: item for item in listed}
        self.numbers, self.where = numbers, where
        self.of_claim = {claim.id: published.numbers_of(claim).index for claim in claimed}
        self.claims = {claim.id: claim for claim in claimed}
        self.findings: dict[str, list[Any]] = {}
        for one in findings.itertuples(index=False):
            for name in _ids(one.claims):
                self.findings.setdefault(name, []).append(one)

    def item_row(self, item: Item) -> dict[str, Any]:
        """Row of a table or figure: its claims, its numbers, where it is made."""
        own = [claim for claim in self.claims.values() if claim.item == item.id]
        rows = self.numbers[self.numbers["item"] == item.id]
        made = int(rows["made"].notna().sum())
        return {
            "id": f"item-{item.id}",
            "kind": item.kind if item.kind in ("figure", "table") else "other",
            "paper": item.paper,
            "status": item.status,
            "certainty": "",
            "label": f"{PAPERS[item.paper].title} {item.label}",
            "text": item.title,
            "place": "Supplement, known from the main text only" if item.supplementary else "",
            "shown": [],
            "counted": f"{len(rows)} printed, {made} of them in this run" if len(rows) else "none printed",
            "lines": [],
            "judged": [],
            "reason": f"Claims about it: {len(own)}." if own else "",
            "links": self._item_links(item),
            "of_item": f'"{PAPERS[item.paper].title} {item.label}"' if own else "",
        }

    def claim_row(self, claim: Claim) -> dict[str, Any]:
        """Row of a claim: its printed numbers beside the run's, and how it is judged."""
        found = sorted(self.findings.get(claim.id, []), key=lambda one: CERTAINTIES.index(one.certainty))
        item = self.items.get(claim.item or "")
        lines = _lines(self.numbers.loc[self.of_claim[claim.id]], claim.about)
        return {
            "id": f"claim-{claim.id}",
            "kind": claim.about,
            "paper": claim.paper,
            "status": claim.status,
            "certainty": found[0].certainty if found else "",
            "label": f"{PAPERS[claim.paper].title} {item.label}" if item else PAPERS[claim.paper].title,
            "text": " ".join(claim.claim.split()),
            "place": claim.place,
            "shown": lines[:_SHOWN] if len(lines) <= _SHOWN + 1 else lines[: _SHOWN - 1],
            "counted": "",
            "lines": lines,
            "judged": self._judged_apart(claim),
            "reason": _reason(claim, found),
            "links": self._claim_links(claim, item, found),
            "of_item": "",
        }

    def _judged_apart(self, claim: Claim) -> list[dict[str, str]]:
        """What came of the limits of an estimate, or of the estimate of limits, where another claim is about them."""
        own, other = self.of_claim[claim.id], "interval" if claim.about == "estimate" else "estimate"
        printed = self.numbers.loc[own]
        own = own[(printed["lower"].ne("") & printed["quantity"].ne("median")).to_numpy()]
        same = [
            one
            for one in self.claims.values()
            if one.about == other and one.paper == claim.paper and len(own.intersection(self.of_claim[one.id]))
        ]
        if not same:
            return []
        worst = min(same, key=lambda one: _WORST_FIRST.index(one.status))
        sure = [one.certainty for one in self.findings.get(worst.id, [])]
        return [
            {
                "what": other,
                "status": worst.status,
                "certainty": min(sure, key=CERTAINTIES.index) if sure else "",
                "address": f"#claim-{worst.id}",
            }
        ]

    def _claim_links(self, claim: Claim, item: Item | None, found: Sequence[Any]) -> list[tuple[str, str]]:
        links = [("finding", self.where.findings[one.id]) for one in found if one.id in self.where.findings]
        checked = [self.where.checks[check] for check in claim.check if check in self.where.checks]
        if not links and checked:
            links.append(("check", checked[0]))
        if item and not item.is_planned:
            return links + self._item_links(item)[:2] + [("csv", f"_static/files/{_name(item.data)}")] * bool(item.data)
        return [*links, ("csv", f"_static/files/{NUMBERS_FILE}")]

    @staticmethod
    def _item_links(item: Item) -> list[tuple[str, str]]:
        if item.is_planned:
            return []
        links = [(chapter_title(str(item.page)), f"notebooks/{item.page}.html#{item.id}")]
        links += [("how made", f"notebooks/{str(item.notebook).removesuffix('.ipynb')}.html#made")] * bool(
            item.notebook
        )
        links += [("ipynb", f"_sources/notebooks/{item.notebook}")] * bool(item.notebook)
        named = (("csv", item.data), ("png", item.figure), ("svg", item.vector_figure))
        return links + [(kind, f"_static/files/{_name(name)}") for kind, name in named if name]


def _name(path: str | None) -> str:
    return str(path).rpartition("/")[2]


def _reason(claim: Claim, found: Sequence[Any]) -> str:
    """One line: what the surest finding means, or what the checks say."""
    told = [one for one in found if one.certainty in _SURE] or list(found)
    if told and claim.status in (published.CONTRADICTED, published.UNDER_SPECIFIED):
        return _SENTENCE_END.split(told[0].consequence)[0]
    checks = " and ".join(CHECKS[check] for check in claim.check if check in CHECKS)
    return {
        published.RECOMPUTED: f"Checked by {checks}: it agrees.",
        published.CONTRADICTED: "Other printed numbers exclude it.",
        published.REPRODUCED: "This run makes it from other patients: the method works, the number is not checked.",
        published.PRIVATE: f"Nothing in {checks} speaks against it; only the patients' data could show it."
        if checks
        else "Only the patients' data could show it.",
        published.UNDER_SPECIFIED: "The paper leaves open what one would have to know.",
    }[claim.status]


def _lines(numbers: pd.DataFrame, about: str) -> list[dict[str, Any]]:
    """Printed numbers beside the run's; what is printed alike in several places is one line."""
    lines: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in numbers.itertuples():
        printed = f"{one.value}{'%' if one.unit == '%' else ''}"
        printed += f" ({one.lower} to {one.upper})" if one.lower else ""
        what = _what(one)
        line = lines.setdefault((printed, what), {"printed": printed, "what": what, "places": [], **_made(one, about)})
        line["places"].append(one.place)
    return [line | {"places": "; ".join(dict.fromkeys(line["places"]))} for line in lines.values()]


def _what(one: Any) -> str:
    cohort = cohort_title(one.cohort) if one.cohort and not one.column else ""
    subgroup = one.subgroup if not one.column and one.subgroup != one.row else ""
    place = one.row if one.place != "Table 3" or not one.cohort else f"{cohort_title(one.cohort)}, {one.row}"
    return ", ".join(filter(None, (place, one.column or cohort, subgroup, one.quantity)))


def _made(one: Any, about: str) -> dict[str, str]:
    """The run's number with the digits of print, and how far it lies from it; of limits, how much wider they are."""
    if math.isnan(one.made):
        return {"made": "", "difference": ""}
    digits = int(one.decimals or 0)
    made, low, high = (f"{value:,.{digits}f}" for value in (one.made, one.made_lower, one.made_upper))
    limits = "" if math.isnan(one.made_lower) or not one.lower else f" ({low} to {high})"
    width = one.upper_number - one.lower_number
    if about == "interval":
        apart = f"{(one.made_upper - one.made_lower) / width:.1f} times as wide" if limits and width > 0 else ""
    else:
        apart = "" if math.isnan(one.number) else f"{one.made - one.number:+.{digits}f}".replace("-", "−")
    return {"made": f"{made}{'%' if one.unit == '%' else ''}{limits}", "difference": apart}


def numbers_csv(beside: pd.DataFrame, *, synthetic: bool = True) -> bytes:
    """All printed numbers with what the run has of them, for whoever wants to compute with them.

    Parameters
    ----------
    beside : pandas.DataFrame
        From `hccbook.pipeline.regenerated.beside_print`.
    synthetic : bool
        Whether the run's patients are simulated, which each row then says.
    """
    printed = published.numbers()[list(published.COLUMNS)]
    patients = "SYNTHETIC" if synthetic else "own"
    return printed.join(beside).assign(patients=patients).to_csv(index=False, lineterminator="\n").encode()
