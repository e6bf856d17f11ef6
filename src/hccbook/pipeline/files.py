"""Files of a run: where each stage puts what, and reading it back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from hccbook.cohort import sources, usable_patients, with_masks
from hccbook.errors import DataError
from hccbook.parallel import FAILURE_COLUMNS, MapResult
from hccbook.run import STAGES, Case, RunPaths
from hccbook.settings import FeatureSettings, PreprocessingSettings
from hccbook.store import atomic_path

_FORMULA = re.compile(r"(^|[;\t\r\n])(?='*[=+\-@\t\r])")
_ESCAPED = re.compile(r"(^|[;\t\r\n])'(?='*[=+\-@\t\r])")
_NUMBERS = re.compile(r"[+-][\d\s.,%()]*")


def save_table(table: pd.DataFrame, file: Path) -> None:
    """Write `table` as CSV without its index, whole or not at all.

    A spreadsheet runs a cell that begins like a formula, also behind what some of them take for the end of a cell: a
    quote before it makes it text, and `read_csv` takes the quote away. What has no letter can call nothing.

    References
    ----------
    OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection.
    """
    with atomic_path(file) as part:
        _with_texts(table, _as_text).to_csv(part, index=False, lineterminator="\n")


def read_csv(file: Path, *, keep_default_na: bool = True) -> pd.DataFrame:
    """Table that `save_table` wrote, with the very numbers and texts that it was given."""
    table = pd.read_csv(file, float_precision="round_trip", keep_default_na=keep_default_na)
    return _with_texts(table, lambda text: _ESCAPED.sub(r"\1", text))


def _as_text(text: str) -> str:
    return text if _NUMBERS.fullmatch(text) else _FORMULA.sub(r"\1'", text)


def _with_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Table with every text in it changed, names of columns too."""

    def changed(value: object) -> object:
        return change(value) if isinstance(value, str) else value

    table = table.rename(columns=changed)
    for place, kind in enumerate(table.dtypes):
        if pd.api.types.is_object_dtype(kind) or isinstance(kind, pd.CategoricalDtype | pd.StringDtype):
            table.isetitem(place, table.iloc[:, place].astype(object).map(changed))
    return table


def save_json(content: object, file: Path) -> None:
    """Write `content` as JSON, whole or not at all."""
    with atomic_path(file) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_table(run: RunPaths, stage: str, name: str) -> pd.DataFrame:
    """Table that an earlier stage wrote, with the very numbers that it wrote."""
    return read_csv(run.stage(stage) / name)


def read_json(file: Path) -> dict:
    """JSON that an earlier stage wrote."""
    return json.loads(file.read_text(encoding="utf-8"))


def read_failures(run: RunPaths, papers: Iterable[str]) -> pd.DataFrame:
    """All patients that fell out so far, paper by paper and stage by stage.

    Returns
    -------
    pandas.DataFrame
        Columns paper, then those of `hccbook.parallel.FAILURE_COLUMNS`.
    """
    rows = []
    for paper in papers:
        files = sorted(run.root.glob(f"*/{paper}_failures.csv"), key=lambda file: STAGES.index(file.parent.name))
        for file in files:
            rows += [{"paper": paper, **row} for row in read_csv(file).to_dict("records")]
    return pd.DataFrame(rows, columns=["paper", *FAILURE_COLUMNS])


def planted_truth(run: RunPaths, papers: Iterable[str]) -> dict[str, dict]:
    """AUCs of an ideal observer, by paper, as the simulation wrote them; empty for a user's own patients."""
    if run.manifest is not None:
        return {}
    return {paper: read_json(run.synthetic_cohort(paper) / "truth.json") for paper in papers}


def read_cohort(run: RunPaths, paper: str) -> pd.DataFrame:
    """Clinical table that the cohort stage wrote, index ``patient``."""
    return read_csv(run.clinical(paper)).set_index("patient")


def cases(run: RunPaths, paper: str, phases: Sequence[str], patients: Iterable[str]) -> dict[str, Case]:
    """Files of some patients of one paper, by key, for stages that read no source."""
    return {key: Case(run, paper, key, tuple(phases)) for key in patients}


def source_cases(run: RunPaths, cohort: str, phases: Sequence[str], masks: str = "") -> dict[str, Case]:
    """Files of all usable patients of a manifest, by key, with the sources that it names.

    `cohort` is a paper, or `hccbook.run.TRAINING_SET`; `masks` says where masks lie that the manifest does not name.

    Raises
    ------
    ManifestError
        As `hccbook.cohort.usable_patients`.
    """
    manifest = run.source_manifest(cohort)
    rows, _ = usable_patients(manifest, phases)
    rows = with_masks(rows, masks, manifest.resolve().parent, phases)
    named: dict[str, dict[str, str]] = {key: {} for key in rows.index}
    for key, column, path in sources(rows)[["patient", "column", "path"]].itertuples(index=False):
        named[key][column] = path
    return {key: Case(run, cohort, key, tuple(phases), own) for key, own in named.items()}


def save_failures(result: MapResult, run: RunPaths, stage: str, paper: str) -> None:
    """Write the patients that fell out in a stage.

    Raises
    ------
    DataError
        If nobody got through.
    """
    save_table(result.failures, run.stage(stage) / f"{paper}_failures.csv")
    if not result.results:
        raise DataError(
            f"{stage}, {paper}",
            "at least one patient must get through",
            f"{len(result.failures)} failures",
            f"First reason: {result.failures['reason'].iloc[0]}" if len(result.failures) else "The manifest is empty.",
        )


def joined_failures(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One failures table out of several, which may be empty."""
    return pd.DataFrame([row for table in tables for row in table.to_dict("records")], columns=list(FAILURE_COLUMNS))


def read_preprocessing_settings(run: RunPaths) -> PreprocessingSettings:
    """Settings that the preprocessing stage used."""
    return PreprocessingSettings(**read_json(run.stage("preprocessing") / "settings.json"))


def read_feature_settings(run: RunPaths) -> FeatureSettings:
    """Settings that the features stage used."""
    return FeatureSettings(**read_json(run.stage("features") / "settings.json"))


def preprocessed_patients(run: RunPaths, paper: str) -> list[str]:
    """Keys of the patients that preprocessing got through, in manifest order."""
    return list(read_table(run, "preprocessing", f"{paper}.csv")["patient"].unique())


def segmented_patients(run: RunPaths, paper: str) -> list[str]:
    """Keys of the patients whose organs are segmented, in manifest order."""
    return list(read_table(run, "segmentation", f"{paper}.csv")["patient"].unique())


def model_table(run: RunPaths, paper: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a model is fitted on, for the patients whose features are all there.

    Returns
    -------
    clinical : pandas.DataFrame
        Clinical table, index ``patient``.
    features : pandas.DataFrame
        Same rows; ``amap``, radiomics and deep features.
    """
    tables = [pd.read_parquet(run.stage("features") / f"{paper}_{kind}.parquet") for kind in ("radiomics", "deep")]
    clinical = read_cohort(run, paper)
    clinical = clinical.loc[[patient for patient in clinical.index if all(patient in table.index for table in tables)]]
    # Put together once: thousands of patients and features are copied no oftener than they must.
    return clinical, pd.concat([clinical[["amap"]], *(table.loc[clinical.index] for table in tables)], axis=1)
