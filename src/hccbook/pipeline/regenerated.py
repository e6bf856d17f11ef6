"""What this run has of each number that a paper prints: the same quantity, of its own patients."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from hccbook.papers import PAPERS, published
from hccbook.pipeline.files import read_csv
from hccbook.report import tables
from hccbook.report.tables.titles import SUBGROUP_TITLES
from hccbook.run import RunPaths

_KEY = ["paper", "quantity", "cohort", "subgroup", "what"]
"""What tells numbers apart; `what` is the row of a Table 1, or the item of an incidence over time."""

_MADE = ["made", "made_lower", "made_upper"]
_UNAVAILABLE = ["item", "note"]
"""Columns of a table that says only why these patients do not give it."""
_COHORTS = {"overall": "all"}
_SUBGROUPS = {"all": "", "hcc": "HCC", "non_hcc": "non-HCC"}
_CASES_ROW = "HCC"
_SIZES = {"header": "patients", "patients": "patients", "Total patients, n": "patients", _CASES_ROW: "patients"}
_OWN_MODEL = {"aMAP-CT": ""}
_IN_PERCENT = ("incidence", "cumulative incidence")


def beside_print(run: RunPaths) -> pd.DataFrame:
    """What a run has of the papers' printed numbers.

    Parameters
    ----------
    run : RunPaths
        The run; of what it has not made, nothing is known here.

    Returns
    -------
    pandas.DataFrame
        Index of `hccbook.papers.published.numbers`, columns made, made_lower and made_upper in the printed unit; NaN
        where the run has no such number. Quartiles stand for the limits of a median, as in print.
    """
    printed = published.numbers()
    known = pd.DataFrame(columns=[*_KEY, *_MADE])
    for paper, name, arrange in _SOURCES:
        file = run.root / name
        table = read_csv(file) if file.is_file() else pd.DataFrame(columns=_UNAVAILABLE)
        if list(table) != _UNAVAILABLE:
            own = arrange(table).assign(paper=paper).reindex(columns=[*_KEY, *_MADE])
            known = pd.concat([known.astype(own.dtypes) if known.empty else known, own])
    keyed = printed.assign(what=_what(printed), subgroup=printed["subgroup"].replace(_OWN_MODEL))
    # The first source of a number counts; a later one repeats it.
    first = known.assign(what=known["what"].fillna("")).drop_duplicates(_KEY)
    made = keyed[_KEY].merge(first, how="left", on=_KEY, validate="many_to_one").set_index(printed.index)[_MADE]
    hundredfold = keyed["quantity"].isin(_IN_PERCENT) & keyed["unit"].eq("%")
    return made.astype(float).mul(hundredfold.map({True: 100.0, False: 1.0}), axis=0)


def _what(printed: pd.DataFrame) -> pd.Series:
    """What else tells a printed number apart."""
    rows = {(paper, row): name for paper in PAPERS for row, name in _rows_of_table_1(paper, printed).items()}
    in_table = printed["place"] == "Table 1"
    named = pd.Series([rows.get(pair, "") for pair in zip(printed["paper"], printed["row"], strict=True)])
    what = named.set_axis(printed.index).where(in_table, "")
    over_time = printed["quantity"] == "cumulative incidence"
    what = what.mask(over_time, printed["item"].replace("", "none"))
    is_count = printed["quantity"].isin(("count", "percentage")) & what.eq("")
    # Counts of anything else, such as centres, have no counterpart of this name.
    return what.mask(is_count, printed["row"].replace(_SIZES))


def _rows_of_table_1(paper: str, printed: pd.DataFrame) -> dict[str, str]:
    """Characteristic and level by row of a paper's Table 1, which has its rows in the order of the characteristics."""
    rows = printed.loc[printed["paper"].eq(paper) & printed["place"].eq("Table 1"), "row"].drop_duplicates()
    rows = [row for row in rows if row not in _SIZES]
    heads = list(dict.fromkeys(_head(row) for row in rows))
    names = dict(zip(heads, PAPERS[paper].characteristics, strict=True))
    return {row: f"{names[_head(row)]} {_level(row.partition(': ')[2])}".rstrip() for row in rows}


def _head(row: str) -> str:
    return row.partition(":")[0].partition(",")[0]


def _level(text: str) -> str:
    """Level as the clinical table calls it: ``Low-risk (<50)`` is ``low``, ``Other ^a`` is ``other``."""
    return text.lower().replace("-", " ").partition(" ")[0]


def _with_limits(
    table: pd.DataFrame, value: str, quantity: str | pd.Series, **columns: str | pd.Series
) -> pd.DataFrame:
    made = dict(zip(_MADE, (table[value], table["lower"], table["upper"]), strict=True))
    return table[["cohort"]].assign(quantity=quantity, **{"what": "", "subgroup": "", **columns, **made})


def _model_auc(model: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """AUC of the paper's own model, and size of each cohort."""

    def arranged(table: pd.DataFrame) -> pd.DataFrame:
        own = table[table["model"] == model]
        sizes = [
            own[["cohort"]].assign(made=own[count], quantity="count", what="patients", subgroup=subgroup)
            for count, subgroup in (("n", ""), ("events", "HCC"))
        ]
        return pd.concat([_with_limits(own, "auc", "auc"), *sizes])

    return arranged


def _at_cutoffs(table: pd.DataFrame) -> pd.DataFrame:
    """Performance at the lower and the upper cut-off, which the paper calls by their printed values."""
    printed = sorted(name for name in published.numbers()["subgroup"].unique() if name.startswith("cut-off "))
    names = dict(zip(sorted(table["cutoff"].unique()), printed, strict=False))
    return _with_limits(table, "value", table["measure"], subgroup=table["cutoff"].map(names))


def _at_cutoff(table: pd.DataFrame) -> pd.DataFrame:
    return _with_limits(table, "value", table["measure"])


def _risk_groups(table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(cohort="all", group=table["group"] + "-risk", share=100 * table["n"] / table["n"].sum())
    sizes = [
        table[["cohort"]].assign(made=table[name], quantity=quantity, what=table["group"], subgroup=table["group"])
        for name, quantity in (("n", "count"), ("share", "percentage"))
    ]
    return pd.concat([_with_limits(table, "incidence", "incidence", subgroup=table["group"]), *sizes])


def _over_time(item: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Incidence at the horizon by group, as an item shows it."""

    def arranged(table: pd.DataFrame) -> pd.DataFrame:
        subgroup = table["group"] + "-risk"
        return _with_limits(table, "incidence", "cumulative incidence", subgroup=subgroup, what=item)

    return arranged


def _by_score(table: pd.DataFrame) -> pd.DataFrame:
    """AUC of every score of Table 4 over the whole follow-up."""
    whole = table[table["horizon"].isna()]
    return _with_limits(whole, "auc", "auc", subgroup=whole["model"].replace(_OWN_MODEL))


def _by_subgroup(table: pd.DataFrame) -> pd.DataFrame:
    """AUC and performance in the subgroups of Table 3."""
    title = table["characteristic"].map(SUBGROUP_TITLES)
    risk = table["level"].where(table["characteristic"] != "amap_group", table["level"] + "-risk")
    # The paper's own hyphen, and no heading above the sexes.
    named = risk.where(table["characteristic"].isin(("sex", "all")), title + ": " + risk).str.replace("–", "-")
    named = named.mask(table["characteristic"] == "all", "")
    measures = table["measure"].notna()
    auc = _with_limits(table[~measures], "auc", "auc", subgroup=named[~measures])
    return pd.concat([auc, _with_limits(table[measures], "value", table["measure"], subgroup=named[measures])])


def _hazard_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Hazard ratios of all cohorts together: the paper does not say which cohort its own are of."""
    whole = table[table["cohort"].eq("all") & table["group"].eq("high")].assign(cohort="")
    subgroup = whole["model"].map(tables.model_title).replace(_OWN_MODEL)
    return _with_limits(whole, "hazard_ratio", "hazard ratio", subgroup=subgroup)


def _reclassified(table: pd.DataFrame) -> pd.DataFrame:
    own = table[table["kind"].eq("categorical") & table["compared_with"].eq("amap")]
    return _with_limits(own, "nri", "net reclassification improvement")


def _characteristics(table: pd.DataFrame) -> pd.DataFrame:
    """Medians with their quartiles, counts and percentages of Table 1."""
    what = table["characteristic"] + table["level"].astype("string").fillna("").radd(" ").replace(" ", "")
    columns = {
        "what": what.str.lower(),
        "cohort": table["cohort"].replace(_COHORTS),
        "subgroup": table["subgroup"].replace(_SUBGROUPS).mask(table["characteristic"] == "hcc", "HCC"),
    }
    parts = [("median", "median"), ("count", "count"), ("percent", "percentage")]
    made = [table[[value]].set_axis(["made"], axis=1).assign(quantity=quantity, **columns) for value, quantity in parts]
    made[0] = made[0].assign(made_lower=table["q1"], made_upper=table["q3"])
    return pd.concat(made).dropna(subset="made")


_SOURCES: tuple[tuple[str, str, Callable[[pd.DataFrame], pd.DataFrame]], ...] = (
    ("alarm", "alarm/auc.csv", _model_auc("alarm")),
    ("alarm", "alarm/diagnostic.csv", _at_cutoffs),
    ("alarm", "alarm/risk_groups.csv", _risk_groups),
    ("alarm", "cohort/alarm_characteristics.csv", _characteristics),
    ("amap_ct", "amap_ct/auc.csv", _model_auc("amap_ct")),
    ("amap_ct", "amap_ct/diagnostic.csv", _at_cutoff),
    ("amap_ct", "amap_ct/at_horizon.csv", _over_time("amap-ct-fig-2")),
    ("amap_ct", "stepwise_stratification/at_horizon.csv", _over_time("amap-ct-fig-4")),
    ("amap_ct", "cohort/amap_ct_characteristics.csv", _characteristics),
    ("amap_ct", "amap_ct_supplement/amap-ct-table-4.csv", _by_score),
    ("amap_ct", "amap_ct_supplement/amap-ct-table-3.csv", _by_subgroup),
    ("amap_ct", "amap_ct_supplement/amap-ct-table-s5.csv", _hazard_ratios),
    ("amap_ct", "amap_ct_supplement/net_reclassification.csv", _reclassified),
)
"""Paper, table of a run, and how it becomes numbers in the paper's terms."""
