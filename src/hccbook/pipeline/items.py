"""Published items and the numbers beside them: what the notebooks read, keep and set next to the printed values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from hccbook import evaluation
from hccbook.errors import DataError
from hccbook.papers import find_paper, published
from hccbook.pipeline.files import read_cohort, read_json, read_table, save_table
from hccbook.report import figures, tables
from hccbook.run import RunPaths
from hccbook.scores import RISK_GROUPS


def read_truth(run: RunPaths, paper: str) -> dict[str, float]:
    """AUC that an ideal observer would reach in unseen patients, by model; empty for a user's own patients."""
    known = read_json(run.stage("cohort") / "truth.json").get(paper)
    if known is None:
        return {}
    return {model: known["auc"]["validation_and_test"][marker] for model, marker in find_paper(paper).markers.items()}


def planted_effect(run: RunPaths, paper: str) -> Literal["planted", "none"]:
    """Whether this run's synthetic patients carry a risk, as its truth says; a run without a truth plants nothing."""
    known = read_json(run.stage("cohort") / "truth.json").get(paper)
    return "none" if known is None else known["effect"]


def truth_table(run: RunPaths, papers: list[str]) -> pd.DataFrame:
    """Measured AUC of unseen patients beside that of an ideal observer.

    Returns
    -------
    pandas.DataFrame
        Columns run (``planted``, ``none``: what its patients carry), paper, model, n, events, auc, lower, upper, truth,
        and whether the interval covers the truth; without a truth it covers nothing.
    """
    found = [
        read_table(run, paper, "truth.csv").assign(run=planted_effect(run, paper), paper=paper) for paper in papers
    ]
    columns = ["run", "paper", "model", "n", "events", "auc", "lower", "upper", "truth"]
    table = pd.concat(found, ignore_index=True)[columns]
    return table.assign(covered=table["truth"].between(table["lower"], table["upper"]))


def truth_text(run: RunPaths, truth: pd.DataFrame) -> str:
    """How many patients the models of a run learn from, and whether their intervals hold what is true, in a sentence.

    Parameters
    ----------
    run : RunPaths
        The run, or a null run.
    truth : pandas.DataFrame
        Its `truth_table`; where no truth is known, as of a user's patients, the sentence says so.
    """
    learnt = []
    for paper in truth["paper"].unique():
        clinical = read_cohort(run, paper)
        hcc = clinical.loc[clinical["role"] == "development", "hcc"]
        learnt.append(f"{tables.model_title(paper)} learns from {len(hcc):,} patients with {hcc.sum():,} HCC")
    outside = [
        f"{tables.model_title(row.model)} has {tables.estimate_text(row.auc, row.lower, row.upper, 2)} where the truth "
        f"is {tables.decimal_text(row.truth, 2)}"
        for row in truth[~truth["covered"]].itertuples()
    ]
    if truth["truth"].isna().any():
        found = "what is true is not known"
    elif outside:
        found = f"{len(truth) - len(outside)} of {len(truth)} intervals hold what is true; {'; '.join(outside)}"
    else:
        found = f"all {len(truth)} intervals hold what is true"
    return f"{' and '.join(learnt)}, and {found}."


def contrary_weights_text(run: RunPaths, truth: pd.DataFrame) -> str:
    """Which scores a model weighs against what they tell on their own, a sentence each, or that there is none.

    Parameters
    ----------
    run : RunPaths
    truth : pandas.DataFrame
        Its `truth_table`, with the AUC of each score in unseen patients.
    """
    found = []
    for paper in truth["paper"].unique():
        weights = read_json(run.stage(paper) / "model.json")["combination"]
        alone = truth[truth["paper"] == paper].set_index("model")
        for name, weight in zip(weights["names"], weights["coefficients"], strict=True):
            row = alone.loc[name]
            if weight * (row["auc"] - 0.5) < 0:
                found.append(
                    f"{tables.model_title(paper)} gives {tables.model_title(name)} a weight of "
                    f"{tables.decimal_text(weight, 2)}, though alone it has an AUC of "
                    f"{tables.estimate_text(row['auc'], row['lower'], row['upper'], 2)} in unseen patients."
                )
    return " ".join(found) or "No model weighs a score against what it tells on its own."


def summary_texts(run: RunPaths, paper: str, truth: pd.DataFrame) -> dict[str, str]:
    """Texts that the introduction quotes: patients, AUC in unseen patients, and the AUC of an ideal observer.

    Parameters
    ----------
    run : RunPaths
    paper : {"alarm", "amap_ct"}
    truth : pandas.DataFrame
        From `truth_table`.

    Returns
    -------
    dict of str to str
        By glue key; says so where the run lacks the paper or the truth is unknown.
    """
    own = truth[truth["model"] == paper]
    keys = (f"n_{paper}", f"{paper}_auc", f"{paper}_truth")
    if own.empty:
        return dict.fromkeys(keys, "not in this run")
    row = own.iloc[0]
    perfect = "unknown" if pd.isna(row["truth"]) else tables.decimal_text(row["truth"], 2)
    measured = tables.estimate_text(row["auc"], row["lower"], row["upper"], 2)
    return dict(zip(keys, (str(len(read_cohort(run, paper))), measured, perfect), strict=True))


def follow_up_ticks(months: pd.Series) -> list[float]:
    """Years within the follow-up, in months, at which numbers at risk are given."""
    return [12.0 * year for year in range(int(months.max() // 12) + 1)]


SYNTHETIC, PATIENTS = "SYNTHETIC", "patients"
"""What the column ``data`` of an item's table says: simulated patients, or a user's own."""


def show_item(
    run: RunPaths,
    item: str,
    data: pd.DataFrame | Mapping[str, pd.DataFrame],
    shown: Figure | pd.DataFrame | None = None,
    *,
    synthetic: bool = True,
    dpi: int = 200,
) -> None:
    """Keep a published item where ``items.yaml`` says, and show it with its caption.

    Parameters
    ----------
    run : RunPaths
    item : str
        Name in ``items.yaml``.
    data : pandas.DataFrame or mapping of str to pandas.DataFrame
        All that the item shows; several tables by the part of the item that each is.
    shown : matplotlib.figure.Figure or pandas.DataFrame, optional
        The figure, kept as PNG and SVG, or the typeset table.
    synthetic : bool
        Whether the patients are simulated; the table's column ``data`` says so, and figure and caption do.
    dpi : int
        Resolution of the PNG.

    Raises
    ------
    DataError
        If the item is not listed.
    """
    listed = find_item(item)
    folder = run.stage(listed.data.partition("/")[0])
    save_table(item_table(data, synthetic=synthetic), folder / f"{item}.csv")
    caption = item_caption(listed)
    if isinstance(shown, Figure):
        files = [folder / f"{item}{ending}" for ending in (".png", ".svg")]
        for file in files:
            figures.save_figure(shown, file, synthetic=synthetic, dpi=dpi)
        figures.show_saved(shown, files[0], f"{caption} {tables.SYNTHETIC_NOTICE}" if synthetic else caption)
    elif shown is not None:
        display(tables.caption_synthetic(shown, caption, synthetic=synthetic))


def show_reading(*sentences: str) -> None:
    """Show in a notebook, beneath an item, what is to be seen in it; nothing where there is nothing to say."""
    if sentences:
        text = " ".join(sentences)
        display({"text/markdown": text, "text/plain": text}, raw=True)


def find_item(item: str) -> published.Item:
    """Item of ``items.yaml`` by its name.

    Raises
    ------
    DataError
        If it is not listed.
    """
    for listed in published.items():
        if listed.id == item:
            return listed
    raise DataError(f"item {item}", "must be listed in items.yaml", "no such item", "Check the spelling.")


def item_caption(item: published.Item) -> str:
    """Caption of an item of this run: what it is, and what its marks or columns are."""
    return f"{find_paper(item.paper).title} {item.label}, this run. {item.title}. {item.caption}".strip()


def item_table(data: pd.DataFrame | Mapping[str, pd.DataFrame], *, synthetic: bool) -> pd.DataFrame:
    """Table of an item that says what its patients are, and of which part of the item each row is.

    Returns
    -------
    pandas.DataFrame
        Columns data (`SYNTHETIC` or `PATIENTS`), part where there are several, and those of the tables; a value is
        absent where its part has no such column.
    """
    parts = {"": data} if isinstance(data, pd.DataFrame) else data
    named = [table.assign(part=part) for part, table in parts.items() if len(table) or len(parts) == 1]
    table = pd.concat(named, ignore_index=True)
    table.insert(0, "part", table.pop("part"))
    if len(parts) == 1:
        del table["part"]
    table.insert(0, "data", SYNTHETIC if synthetic else PATIENTS)
    return table


def items_missing(run: RunPaths, chapter: str, papers: list[str]) -> list[str]:
    """Items that ``items.yaml`` promises from a chapter and whose numbers this run has not kept."""
    listed = [item for item in published.items() if item.paper in papers and not item.is_planned]
    own = [item for item in listed if item.data.startswith(f"{chapter}/")]
    return [item.id for item in own if not (run.root / item.data).is_file()]


def printed(item: str, *, quantity: str, by: str = "cohort", model: str = "") -> pd.DataFrame:
    """Numbers that a paper prints for one item, to stand beside measured ones.

    Parameters
    ----------
    item : str
        Name in ``items.yaml``.
    quantity : str
        Quantity in the transcription, such as ``auc``.
    by : {"cohort", "group"}
        What tells the rows apart; a group is the subgroup without its "-risk".
    model : str
        Model whose numbers are wanted, where the paper prints those of several.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, group, value, lower, upper as printed; what is printed in several places is there once,
        with its interval where one of them has it.
    """
    numbers = published.numbers()
    rows = numbers[(numbers["item"] == item) & (numbers["quantity"] == quantity)]
    rows = rows.assign(group=rows["subgroup"].str.removesuffix("-risk"))
    rows = rows[rows["cohort"].ne("") if by == "cohort" else rows["group"].isin(RISK_GROUPS)]
    if model:
        rows = rows[rows["subgroup"] == model]
    columns = ["cohort", "group", "value", "lower", "upper"]
    with_limits_first = rows[columns].sort_values("lower", key=lambda lower: lower.eq(""), kind="stable")
    return with_limits_first.drop_duplicates(["cohort", "group", "value"]).sort_index().reset_index(drop=True)


def in_percent(incidence: pd.DataFrame) -> pd.DataFrame:
    """Incidences (0 to 1) in percent, as the papers print them: value, lower, upper beside the other columns."""
    hundredfold = {name: 100 * incidence[name] for name in ("lower", "upper")}
    return incidence.assign(value=100 * incidence["incidence"], **hundredfold)


def printed_prevalence(paper: str, cohort: str) -> float:
    """Share of patients with HCC that a paper prints for a cohort."""
    printed_sizes = find_paper(paper).printed_sizes
    patients, cases = (
        published.value(paper, "count", cohort=cohort, **printed_sizes[what]).number for what in ("patients", "cases")
    )
    return cases / patients


def predictive_values_at_printed_prevalence(paper: str, performance: pd.DataFrame) -> pd.DataFrame:
    """PPV and NPV that this run's sensitivity and specificity give at the HCC share that the paper prints.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, cutoff, prevalence, ppv, npv.
    """
    wide = performance.pivot_table(
        index=["cohort", "cutoff"], columns="measure", values="value", sort=False
    ).reset_index()
    prevalence = wide["cohort"].map({name: printed_prevalence(paper, name) for name in wide["cohort"].unique()})
    ppv, npv = evaluation.predictive_values(wide["sensitivity"], wide["specificity"], prevalence)
    return wide[["cohort", "cutoff"]].assign(prevalence=prevalence, ppv=ppv, npv=npv)
