"""What differs between two runs: settings, patients, masks, selected features, tables, AUCs, conclusions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.papers import PAPERS
from hccbook.pipeline.archive import unpack_archive
from hccbook.pipeline.files import read_csv, read_json
from hccbook.pipeline.run_record import RunRecord, describe_run
from hccbook.run import RESULT_CHAPTERS, RunPaths

SIGNIFICANT = 0.05
"""p below which a test counts as significant."""

_TABLES = (
    *("cohort/*.csv", "segmentation/*_dice.csv", "features/*_counts.csv", "features/*_image_characteristics.csv"),
    *(f"{stage}/*.csv" for stage in (*PAPERS, *RESULT_CHAPTERS)),
)
_MODELS = tuple(f"{paper}/{name}.json" for paper in PAPERS for name in ("model", "family"))
_TRUTH = "figures_and_tables/truth.csv"
_COPIES = ("figures_and_tables/alarm-*", "figures_and_tables/amap-ct-*")
_OF_PATIENTS = ("patient", "phase", "organ")
_REMARKS = ("note", "detail", "correlated_with")
_P_VALUES = ("p", "p_value", "p_holm")
_COLUMNS = ["table", "rows", "only_first", "only_second", "differing", "absolute", "relative", "where"]
_GROUPS = ("group", "amap_group", "ct_group", "final")


class Comparison(NamedTuple):
    """What differs between two runs.

    Attributes
    ----------
    digits : int
        Digits to which numbers were compared.
    settings : pandas.DataFrame
        Columns setting, first, second: what differs of settings, cohort sizes, versions and processors.
    absent : pandas.DataFrame
        Columns table, lacks: tables that only one run has, and whether the first or the second lacks them.
    tables : pandas.DataFrame
        Columns table, rows (that both have), only_first, only_second, differing (values), absolute, relative (largest
        differences of numbers), where (the largest absolute one): the tables that differ.
    weights : pandas.DataFrame
        Columns model, feature, first, second: weights that differ; none where a run did not select the feature.
    aucs : pandas.DataFrame
        Columns table, where, first, second, difference: every AUC that both have, the largest difference first.
    conclusions : pandas.DataFrame
        Columns kind, table, where, first, second: what a reader would conclude otherwise.
    """

    digits: int
    settings: pd.DataFrame
    absent: pd.DataFrame
    tables: pd.DataFrame
    weights: pd.DataFrame
    aucs: pd.DataFrame
    conclusions: pd.DataFrame

    @property
    def is_equal(self) -> bool:
        """Whether both runs hold the same tables and weights at these digits, whatever the settings are."""
        return not (len(self.absent) or len(self.tables) or len(self.weights) or len(self.conclusions))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``equal``, ``digits``, and the tables as rows."""
        rows = {name: _plain_rows(table) for name, table in self._asdict().items() if name != "digits"}
        return {"equal": self.is_equal, "digits": self.digits, **rows}


def compare_runs(first: Path, second: Path, digits: int = 6) -> Comparison:
    """Compare two runs, each the folder of a run or an archive.

    Parameters
    ----------
    first, second : pathlib.Path
    digits : int
        Numbers are equal where they differ by at most half a unit of this decimal, or, above 1, of as many
        significant digits.

    Raises
    ------
    DataError, ArchiveError
        If a folder is neither, or an archive is altered.
    """
    with tempfile.TemporaryDirectory() as scratch:
        runs = [_opened(folder, Path(scratch) / str(number)) for number, folder in enumerate((first, second))]
        records = [describe_run(run) for run in runs]
        files = [_tables_of(run) for run in runs]
        common = [name for name in files[0] if name in files[1]]
        shared = {name: _Pair.of(*(read_csv(own[name]) for own in files)) for name in common}
        weights = [_weights(run) for run in runs]
    absent = [(name, "second") for name in files[0] if name not in common]
    absent += [(name, "first") for name in files[1] if name not in common]
    told = {name: pair for name, pair in shared.items() if not any(Path(name).match(copy) for copy in _COPIES)}
    if _TRUTH in told:
        told = {name: pair for name, pair in told.items() if name == _TRUTH or not name.endswith("/truth.csv")}
    return Comparison(
        digits,
        pd.DataFrame(_differing_settings(*records), columns=["setting", "first", "second"]),
        pd.DataFrame(absent, columns=["table", "lacks"]),
        pd.DataFrame(filter(None, (_difference(*named, digits) for named in shared.items())), columns=_COLUMNS),
        _differing_weights(*weights, digits),
        _aucs(told),
        pd.DataFrame(_conclusions(told), columns=["kind", "table", "where", "first", "second"]),
    )


def table_difference(first: pd.DataFrame, second: pd.DataFrame, digits: int = 6) -> str:
    """What differs most between two tables at these digits, as of `compare_runs`; empty where they agree."""
    found = _difference("", _Pair.of(first, second), digits)
    if found is None:
        return "" if list(first) == list(second) else "other columns"
    _, rows, only_first, only_second, count, *_, where = found
    return where or f"{count} values of {rows} rows; {only_first} and {only_second} rows that only one has"


def _opened(folder: Path, scratch: Path) -> RunPaths:
    """Folder of a run as it is; an archive unpacked into `scratch`."""
    run = RunPaths(folder.resolve())
    if run.archive_manifest.is_file() and not (run.root / "notebooks").is_dir():
        unpacked = RunPaths(scratch / folder.name)
        unpack_archive(run.root, unpacked, results=True)
        return unpacked
    if not folder.is_dir():
        raise DataError(str(folder), "must be the folder of a run or an archive", "no such folder", "Check the path.")
    return run


def _tables_of(run: RunPaths) -> dict[str, Path]:
    return {
        file.relative_to(run.root).as_posix(): file for pattern in _TABLES for file in sorted(run.root.glob(pattern))
    }


class _Pair(NamedTuple):
    """One table of both runs, on rows that both have.

    Attributes
    ----------
    first, second : pandas.DataFrame
        The same rows and columns.
    where : pandas.Series of str
        Name of each row.
    only_first, only_second : int
        Rows that the other run lacks.
    """

    first: pd.DataFrame
    second: pd.DataFrame
    where: pd.Series
    only_first: int
    only_second: int

    @classmethod
    def of(cls, first: pd.DataFrame, second: pd.DataFrame) -> _Pair:
        columns = [name for name in first if name in second]
        keys = [name for name in _OF_PATIENTS if name in columns] if "patient" in columns else [
            name for name in columns if name not in _REMARKS and not _are_numbers(first[name], second[name])
        ]  # fmt: skip
        sides = [table.set_index(_row_names(table, keys))[columns] for table in (first, second)]
        common = sides[0].index.intersection(sides[1].index, sort=False)
        only = (len(side) - len(common) for side in sides)
        return cls(*(side.loc[common] for side in sides), common.to_series(), *only)

    def numbers(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Columns of numbers, by name."""
        for name in self.first:
            if _are_numbers(self.first[name], self.second[name]):
                yield name, *(table[name].to_numpy(dtype=float) for table in (self.first, self.second))


def _are_numbers(*columns: pd.Series) -> bool:
    return all(pd.api.types.is_numeric_dtype(column) and column.dtype != bool for column in columns)


def _row_names(table: pd.DataFrame, keys: list[str]) -> pd.Index:
    """Name of each row: what its keys hold, and its number among those that hold the same."""
    if not keys:
        return pd.Index([f"row {number}" for number in range(1, len(table) + 1)])
    texts = table[keys].astype(object).where(table[keys].notna(), "").astype(str)
    names = texts.agg(", ".join, axis=1) if len(table) else pd.Series(dtype=str)
    number = names.groupby(names).cumcount()
    return pd.Index(names.where(number == 0, names + " #" + (number + 1).astype(str)))


def _differ(first: np.ndarray, second: np.ndarray, digits: int) -> np.ndarray:
    """Whether two numbers differ at these digits; a number and a missing one always do."""
    scale = np.fmax(1.0, np.fmin(np.abs(first), np.abs(second)))
    with np.errstate(invalid="ignore"):
        apart = np.abs(first - second) > 0.5 * 10.0**-digits * scale
    return apart | (np.isnan(first) != np.isnan(second))


def _difference(name: str, pair: _Pair, digits: int) -> tuple | None:
    """Row of `Comparison.tables`; None where the tables are equal."""
    count, absolute, relative, where = 0, 0.0, 0.0, ""
    for column, first, second in pair.numbers():
        apart = _differ(first, second, digits)
        count += int(apart.sum())
        known = apart & np.isfinite(first) & np.isfinite(second)
        gaps = np.zeros(len(first))
        gaps[known] = np.abs(first[known] - second[known])
        if gaps.max(initial=0.0) > absolute or (count and not where):
            place = int(np.argmax(gaps if known.any() else apart))
            where = f"{pair.where.iloc[place]}: {column} {first[place]:.6g} and {second[place]:.6g}"
            absolute = max(absolute, float(gaps[place]))
        largest = np.fmax(np.abs(first), np.abs(second))
        relative = max(relative, float((gaps[known] / largest[known]).max(initial=0.0)))
    texts = [column for column in pair.first if not _are_numbers(pair.first[column], pair.second[column])]
    for column in texts:
        first, second = (table[column].fillna("").astype(str) for table in (pair.first, pair.second))
        apart = (first != second).to_numpy()
        count += int(apart.sum())
        if apart.any() and not where:
            place = int(np.argmax(apart))
            where = f"{pair.where.iloc[place]}: {column} {first.iloc[place]!r} and {second.iloc[place]!r}"
    if not (count or pair.only_first or pair.only_second):
        return None
    return name, len(pair.where), pair.only_first, pair.only_second, count, absolute, relative, where


# --- settings and models ----------------------------------------------------------------------------------------------


def _differing_settings(first: RunRecord, second: RunRecord) -> list[tuple]:
    sides = [dict(_flat(record.model_dump(exclude={"run", "files", "seconds"}))) for record in (first, second)]
    names = dict.fromkeys((*sides[0], *sides[1]))
    rows = [(name, *(side.get(name, "") for side in sides)) for name in names]
    return [row for row in rows if row[1] != row[2]]


def _flat(content: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _flat(value, f"{place}.{name}" if place else str(name))
    elif isinstance(content, tuple | list):
        for number, value in enumerate(content):
            yield from _flat(value, f"{place}.{number}")
    else:
        yield place, str(content)


def _weights(run: RunPaths) -> pd.DataFrame:
    """Weights of every score of every model file of a run: columns model, feature, weight."""
    files = [name for name in _MODELS if (run.root / name).is_file()]
    rows = [row for name in files for row in _score_weights(read_json(run.root / name), name.removesuffix(".json"))]
    return pd.DataFrame(rows, columns=["model", "feature", "weight"]).astype({"weight": float})


def _differing_weights(first: pd.DataFrame, second: pd.DataFrame, digits: int) -> pd.DataFrame:
    both = first.merge(second, on=["model", "feature"], how="outer", sort=False, suffixes=("_first", "_second"))
    both = both.rename(columns={"weight_first": "first", "weight_second": "second"})
    return both[_differ(both["first"].to_numpy(), both["second"].to_numpy(), digits)].reset_index(drop=True)


def _score_weights(content: Any, place: str) -> Iterator[tuple[str, str, float]]:
    if not isinstance(content, Mapping):
        return
    if {"names", "coefficients", "intercept"} <= content.keys():
        yield place, "intercept", content["intercept"]
        yield from ((place, *pair) for pair in zip(content["names"], content["coefficients"], strict=True))
    for name, part in content.items():
        yield from _score_weights(part, f"{place}/{name}")


# --- what a reader sees -----------------------------------------------------------------------------------------------


def _aucs(told: Mapping[str, _Pair]) -> pd.DataFrame:
    rows = [
        (name, pair.where.iloc[place], first, second, abs(first - second))
        for name, pair in told.items()
        if "auc" in pair.first and {"model", "cohort"} & set(pair.first)
        for place, (first, second) in enumerate(zip(pair.first["auc"], pair.second["auc"], strict=True))
    ]
    table = pd.DataFrame(rows, columns=["table", "where", "first", "second", "difference"])
    return table.sort_values("difference", ascending=False, kind="stable", ignore_index=True)


def _conclusions(told: Mapping[str, _Pair]) -> Iterator[tuple]:
    for name, pair in told.items():
        for kind, find in (("significance", _significances), ("truth covered", _covered), ("risk group", _groups)):
            yield from ((kind, name, *row) for row in find(pair))
        yield from (("order of models", name, *row) for row in _orders(pair))


def _flips(pair: _Pair, label: str, says: list[pd.Series]) -> Iterator[tuple[str, str, str]]:
    """Rows of which the two runs say another thing; what one of them does not say is no conclusion."""
    for where, first, second in zip(pair.where, *says, strict=True):
        if first and second and first != second:
            yield f"{where}{label}", first, second


def _significances(pair: _Pair) -> Iterator[tuple[str, str, str]]:
    # Of single features among thousands some always cross the line.
    for name in _P_VALUES:
        if name in pair.first and "feature" not in pair.first:
            says = []
            for table in (pair.first, pair.second):
                words = (table[name] < SIGNIFICANT).map({True: "significant", False: "not significant"})
                says.append(words.where(table[name].notna(), ""))
            yield from _flips(pair, f", {name}" if name != "p" else "", says)


def _covered(pair: _Pair) -> Iterator[tuple[str, str, str]]:
    if {"truth", "lower", "upper"} <= set(pair.first):
        says = []
        for table in (pair.first, pair.second):
            inside = table["truth"].between(table["lower"], table["upper"]).map({True: "covered", False: "not covered"})
            says.append(inside.where(table[["truth", "lower", "upper"]].notna().all(axis=1), ""))
        yield from _flips(pair, "", says)


def _groups(pair: _Pair) -> Iterator[tuple[str, str, str]]:
    """Patients in another risk group, counted, with the first of them."""
    for name in _GROUPS:
        if name in pair.first and "patient" in pair.first:
            says = [table[name].fillna("").astype(str) for table in (pair.first, pair.second)]
            moved = list(_flips(pair, "", says))
            if moved:
                where, first, second = moved[0]
                yield f"{len(moved)} of {len(pair.where)} patients, {name}; {where}", first, second


def _orders(pair: _Pair) -> Iterator[tuple[str, str, str]]:
    if {"auc", "model", "cohort"} <= set(pair.first):
        for cohort, rows in pair.first.groupby("cohort", sort=False):
            sides = (rows, pair.second.loc[rows.index])
            orders = [" > ".join(side.sort_values("auc", ascending=False, kind="stable")["model"]) for side in sides]
            if orders[0] != orders[1]:
                yield str(cohort), *orders


# --- report -----------------------------------------------------------------------------------------------------------


def comparison_text(comparison: Comparison, first: str, second: str, shown: int = 20) -> str:
    """The comparison for the terminal, the AUC that differs most first; at most `shown` rows of each part."""
    lines = [f"{first} (first) against {second} (second), to {comparison.digits} digits"]
    if len(comparison.aucs):
        row = comparison.aucs.iloc[0]
        lines.append(
            f"Largest difference of any AUC: {row['difference']:.6f} ({row['first']:.4f} and {row['second']:.4f}; "
            f"{row['table']}, {row['where']})"
        )
    lines.append("Equal." if comparison.is_equal else "Not equal.")
    for heading, table in (
        ("Conclusions that differ", comparison.conclusions),
        ("Settings, patients, versions that differ", comparison.settings),
        ("Tables that only one has", comparison.absent),
        ("Tables that differ", comparison.tables),
        ("Weights that differ", comparison.weights),
        ("AUCs beside each other, the largest difference first", comparison.aucs),
    ):
        lines += ["", f"{heading}: {len(table)}"]
        if len(table):
            lines.append(
                table.head(shown).to_string(index=False, float_format=lambda value: f"{value:.6g}", na_rep="-")
            )
        if len(table) > shown:
            lines.append(f"... and {len(table) - shown} more; --json lists all")
    return "\n".join(lines)


def _plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.astype(object).where(table.notna(), None).to_dict("records")
