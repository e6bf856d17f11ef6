"""aMAP-CT's tables, by their number in the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from hccbook.cohort.centres import CENTRE_COLUMNS
from hccbook.errors import DataError
from hccbook.evaluation.subgroups import SUBGROUP_COLUMNS
from hccbook.report.tables import cells, schemas, titles
from hccbook.report.tables.layout import Lookup, lay
from hccbook.report.tables.typesetting import (
    UNDEFINED,
    area_text,
    count_text,
    cutoff_text,
    decimal_text,
    is_absent,
    noted_text,
    ratio_text,
)

_MEASURED = cells.estimate("value")

# Title and decimal places of what is known of the images.
_IMAGE_FACTS: Mapping[str, tuple[str, int]] = {
    "source_spacing_x_mm": ("Pixel edge, mm", 2),
    "source_spacing_z_mm": ("Slice distance, mm", 2),
    "source_size_x": ("Pixels a row", 0),
    "source_size_z": ("Slices", 0),
    "liver.original_firstorder_Median": ("Liver median, HU", 0),
    "liver.original_firstorder_InterquartileRange": ("Liver interquartile range, HU", 0),
    "spleen.original_firstorder_Median": ("Spleen median, HU", 0),
    "spleen.original_firstorder_InterquartileRange": ("Spleen interquartile range, HU", 0),
}


def amap_ct_table_2(performance: pd.DataFrame, auc: pd.DataFrame, *, model: str = "aMAP-CT") -> pd.DataFrame:
    """aMAP-CT Table 2: AUC and diagnostic performance of one model, one row per cohort.

    Parameters
    ----------
    performance : pandas.DataFrame
        Tidy, with `PERFORMANCE_COLUMNS`; one cut-off only.
    auc : pandas.DataFrame
        Tidy, with `AUC_COLUMNS`; a cohort that is not in it has no AUC, and n.a. in its place.
    model : str
        Model whose AUC is taken; upper and lower case, spaces, hyphens and underscores do not matter.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort, columns n, HCC, AUC and the six measures.

    Raises
    ------
    DataError
        If a column is missing, there are several cut-offs, or the model has no AUC or two in a cohort.
    """
    schemas.require_columns(performance, schemas.PERFORMANCE_COLUMNS, "diagnostic performance")
    schemas.require_columns(auc, schemas.AUC_COLUMNS, "AUC table")
    _require_one_cutoff(performance, "diagnostic performance", "must have one cut-off for the aMAP-CT table")
    areas = auc[auc["model"].map(titles.name_key) == titles.name_key(model)]
    # A cohort of one outcome has no AUC of any model, and sensitivity or specificity all the same.
    without = [cohort for cohort in performance["cohort"].unique() if cohort not in set(auc["cohort"])]
    areas = pd.concat([areas, pd.DataFrame({"cohort": without, "model": model})]) if without else areas
    for cohort in performance["cohort"].unique():
        if cohort not in set(areas["cohort"]):
            models = ", ".join(auc["model"].unique())
            hint = "Name one of the models that are there."
            raise DataError(f"AUC table, {cohort}", f"must have the model {model}", models, hint)
    area = Lookup(areas, ("cohort",), f"AUC table, {{cohort}}, {model}")
    measured = Lookup(performance, ("cohort", "measure"), "diagnostic performance, {cohort}, {measure}")
    estimated = {**cells.SIZE, "AUC (95% CI)": cells.estimate("auc")}
    columns = {heading: area.cell(inner) for heading, inner in estimated.items()}
    columns |= {heading: measured.cell(_MEASURED, measure=name) for name, heading in titles.MEASURE_TITLES.items()}
    return lay(performance.drop_duplicates("cohort"), {"Cohort": cells.COHORT}, columns)


def _require_one_cutoff(performance: pd.DataFrame, place: str, rule: str) -> None:
    cutoffs = performance["cutoff"].unique()
    if len(cutoffs) > 1:
        raise DataError(place, rule, ", ".join(map(str, cutoffs)), "Select the rows of one cut-off.")


def amap_ct_table_3(auc: pd.DataFrame, performance: pd.DataFrame, *, intervals: bool = False) -> pd.DataFrame:
    """aMAP-CT Table 3 and Supplementary Table 6: performance in the cohorts and their subgroups.

    F1 is ``n.a.`` where nobody with HCC was called high-risk, as the paper prints it: neither sensitivity nor PPV is
    above 0, so that their harmonic mean does not exist.

    Parameters
    ----------
    auc : pandas.DataFrame
        Tidy, with `hccbook.evaluation.subgroups.SUBGROUP_COLUMNS`; its row "all" of a cohort comes first.
    performance : pandas.DataFrame
        Tidy, with `SUBGROUP_PERFORMANCE_COLUMNS`; the whole cohort has the characteristic "all"; one cut-off only.
    intervals : bool
        Whether the 95% confidence intervals are given, as in Supplementary Table 6.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort, characteristic and level, columns n, HCC, AUC and the six measures.

    Raises
    ------
    DataError
        If a column is missing, there are several cut-offs, or a subgroup is there twice.
    """
    schemas.require_columns(auc, SUBGROUP_COLUMNS, "AUC in subgroups")
    schemas.require_columns(performance, schemas.SUBGROUP_PERFORMANCE_COLUMNS, "performance in subgroups")
    _require_one_cutoff(performance, "performance in subgroups", "must have one cut-off")
    key, place = ["cohort", "characteristic", "level"], "subgroups, {cohort}, {characteristic} {level}"
    lines, levelled = (table.assign(level=table["level"].astype(str)) for table in (auc, performance))
    schemas.require_once(lines, key, place)
    measured = Lookup(levelled, (*key, "measure"), place)
    area, value = cells.number("auc", 3), cells.number("value", 3)
    if intervals:
        area, value = cells.AREA, cells.typeset(area_text, "value", "lower", "upper")
    columns = {"n": cells.count("n"), "HCC, n (%)": cells.typeset(_share_text, "events", "n"), "AUC": area}
    columns |= {heading: measured.cell(value, measure=name) for name, heading in titles.MEASURE_TITLES.items()}
    f1 = measured.cell(lambda row: UNDEFINED if row["numerator"] == 0 else value(row), measure="f1")
    columns[titles.MEASURE_TITLES["f1"]] = f1
    names = {
        "Cohort": cells.COHORT,
        "Characteristic": cells.typeset(titles.subgroup_title, "characteristic"),
        "Level": lambda row: "All patients" if row["characteristic"] == "all" else titles.group_title(row["level"]),
    }
    return lay(lines, names, columns)


def _share_text(events: int, n: int) -> str:
    return count_text(events, 100 * events / n) if n else "0"


def amap_ct_table_4(comparison: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Table 4: AUC of every score, one row per cohort.

    Parameters
    ----------
    comparison : pandas.DataFrame
        Tidy, with `COMPARISON_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; a column a score (and its horizon, where it has one): ``AUC (95% CI)``, ``*`` where DeLong's p
        against aMAP-CT is below 0.05, ``**`` where it is so after Holm's adjustment over the scores of the cohort
        too, and how many patients have the score where not all do. Where there is no AUC, the note.

    Raises
    ------
    DataError
        If a column is missing or a score is there twice in a cohort.
    """
    schemas.require_columns(comparison, schemas.COMPARISON_COLUMNS, "comparison of scores")
    titled = _with_score_titles(comparison)
    rows = Lookup(titled, ("cohort", "title"), "comparison of scores, {cohort}, {title}")
    columns = {score: rows.cell(_starred_area, title=score) for score in titled["title"].unique()}
    return lay(titled.drop_duplicates("cohort"), {"Cohort": cells.COHORT}, columns)


def _with_score_titles(comparison: pd.DataFrame) -> pd.DataFrame:
    """Rows with the printed name of their score, and its horizon where it has one of its own."""
    horizons = comparison["horizon"].astype(float).map(" ({:g} months)".format, na_action="ignore").fillna("")
    return comparison.assign(title=comparison["model"].map(titles.model_title) + horizons)


def _starred_area(row: cells.Line) -> str:
    limits = row["lower"], row["upper"]
    area = noted_text(row["auc"], *limits, row["note"]) if is_absent(row["auc"]) else area_text(row["auc"], *limits)
    stars = "" if is_absent(row["p"]) else "**" if row["p_holm"] < 0.05 else "*" if row["p"] < 0.05 else ""
    return area + stars + (f" [n = {decimal_text(row['n'], 0)}]" if row["missing"] else "")


def amap_ct_table_s1(centres: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 1: the centres.

    Parameters
    ----------
    centres : pandas.DataFrame
        With `hccbook.cohort.centres.CENTRE_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; one row per centre.

    Raises
    ------
    DataError
        If a column is missing.
    """
    schemas.require_columns(centres, CENTRE_COLUMNS, "centres")
    columns = {
        "Cohorts": cells.typeset(lambda names: ", ".join(map(_bare_cohort, names.split(", "))), "cohorts"),
        "Patients": cells.count("n"),
        "HCC": cells.count("events"),
        "Median follow-up, months": cells.number("median_months", 1),
        "HCC per 100 person-years (95% CI)": cells.percent("rate"),
        "Note": cells.NOTE,
    }
    return lay(centres, {"Centre": cells.plain("centre")}, columns)


def _bare_cohort(cohort: str) -> str:
    return titles.cohort_title(cohort).removesuffix(" cohort")


def amap_ct_table_s2(images: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 2: what the images of each centre are like, over all phases or of one.

    Parameters
    ----------
    images : pandas.DataFrame
        Tidy, with `IMAGE_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by centre and phase; the grid as median (least to greatest), HU as median (quartiles).

    Raises
    ------
    DataError
        If a column is missing or a characteristic is there twice.
    """
    schemas.require_columns(images, schemas.IMAGE_COLUMNS, "image characteristics")
    rows = Lookup(images, schemas.IMAGE_COLUMNS[:3], "image characteristics, {centre}, {phase}, {characteristic}")
    columns = {"Patients": cells.count("n")}
    for name in images["characteristic"].unique():
        heading, places = _IMAGE_FACTS.get(name, (name, 1))
        limits = ("q1", "q3") if "firstorder" in name else ("least", "greatest")
        columns[heading] = rows.cell(cells.estimate("median", *limits, places=places), characteristic=name)
    names = {"Centre": cells.plain("centre"), "Phase": cells.typeset(str.capitalize, "phase")}
    return lay(images.drop_duplicates(["centre", "phase"]), names, columns)


def ibsi_settings(extraction: Mapping[str, object], spacing_mm: float, images: Sequence[str]) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 3: how the radiomics features were made, in the terms of the IBSI.

    Parameters
    ----------
    extraction : mapping
        Fields of `hccbook.features.radiomics.ExtractionSettings`, as its ``model_dump`` gives them.
    spacing_mm : float
        Edge of the working voxels, mm.
    images : sequence of str
        Names of the images that features come from.

    Returns
    -------
    pandas.DataFrame
        Columns step, parameter, value; strings.

    References
    ----------
    Zwanenburg et al. 2020, Radiology 295:328 (IBSI, reporting). aMAP-CT, Supplementary Table 3.
    """
    lower, upper = extraction["window_lower"], extraction["window_upper"]
    count = extraction["bin_count"]
    spread = "averaged over directions" if extraction["weighting_norm"] is None else str(extraction["weighting_norm"])
    window = "none" if lower is None and upper is None else f"clipped to {lower:g} to {upper:g} HU"
    bins = f"fixed size of {extraction['bin_width']:g} HU" if count is None else f"fixed number of {count}"
    rows = [
        ("Image", "Modality and unit", "CT, HU"),
        ("Image", "Phases", "each on its own, moved onto the venous one"),
        ("Interpolation", "Voxel edge", f"{spacing_mm:g} mm, isotropic"),
        ("Interpolation", "Image", "linear, after a Gaussian where voxels grow by more than half"),
        ("Interpolation", "Mask", "nearest neighbour"),
        ("Intensities", "Range", window),
        ("Intensities", "Normalisation", "z-score" if extraction["normalize"] else "none"),
        ("Intensities", "Re-segmentation", "none" if extraction["resegment_range"] is None else "by range"),
        ("Filters", "Images", f"{len(images)}: {', '.join(images)}"),
        ("Filters", "Wavelet", f"{extraction['wavelet']}, {extraction['wavelet_levels']} level, undecimated"),
        ("Discretisation", "Bins", bins),
        ("Discretisation", "Edges", "multiples of the width, from the one below the smallest intensity"),
        ("Texture", "Neighbours", "within slices" if extraction["force_2d"] else "in three dimensions"),
        ("Texture", "Distances", ", ".join(map(str, extraction["distances"])) + " voxel"),
        ("Texture", "Symmetric co-occurrence", "yes" if extraction["symmetrical_glcm"] else "no"),
        ("Texture", "Directions", spread),
        ("Texture", "GLDM difference", str(extraction["gldm_alpha"])),
        ("Features", "Classes", ", ".join(map(titles.feature_class_title, extraction["feature_classes"]))),
    ]
    return pd.DataFrame(rows, columns=["step", "parameter", "value"])


def coefficient_table(weights: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 4: selected features with their coefficients.

    Parameters
    ----------
    weights : pandas.DataFrame
        Columns feature (``<phase>.<organ>.<name>``) and coefficient (of the standardised feature).

    Returns
    -------
    pandas.DataFrame
        Strings; rows by phase, organ and feature in the order of the frame, column Coefficient.
        Where nothing was selected, one row says so.

    Raises
    ------
    DataError
        If a column is missing.
    """
    if weights.empty:
        lines = pd.DataFrame({"Phase": ["none"], "Organ": "none", "Feature": "none was selected", "coefficient": None})
    else:
        schemas.require_columns(weights, ("feature", "coefficient"), "coefficients")
        parts = [str(name).split(".", 2) for name in weights["feature"]]
        shown = [(phase.capitalize(), organ.capitalize(), name.replace("_", " ")) for phase, organ, name in parts]
        lines = pd.DataFrame(shown, columns=["Phase", "Organ", "Feature"])
        lines["coefficient"] = weights["coefficient"].to_numpy()
    names = {name: cells.plain(name) for name in ("Phase", "Organ", "Feature")}
    return lay(lines, names, {"Coefficient": cells.number("coefficient", 3)})


def amap_ct_table_s7(comparison: pd.DataFrame, performance: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 7: each score's AUC and its high-risk group, tested against aMAP-CT's.

    Parameters
    ----------
    comparison : pandas.DataFrame
        Tidy, with `COMPARISON_COLUMNS`.
    performance : pandas.DataFrame
        Columns cohort, model, measure, value, lower, upper, p, p_holm, as
        `hccbook.evaluation.high_risk_performance` gives.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and score: HCC/n, AUC, DeLong's p and Holm's adjustment of it, sensitivity, McNemar's
        p and Holm's, specificity, PPV, NPV, note.

    Raises
    ------
    DataError
        If a column is missing or a score is there twice in a cohort.
    """
    schemas.require_columns(comparison, schemas.COMPARISON_COLUMNS, "comparison of scores")
    columns = ("cohort", "model", "measure", "value", "lower", "upper", "p", "p_holm")
    schemas.require_columns(performance, columns, "performance of scores")
    # A horizon of its own is another outcome than that of the high-risk groups.
    lines = _with_score_titles(comparison).assign(has_groups=comparison["horizon"].isna())
    schemas.require_once(lines, ["cohort", "title"], "{cohort}, {title}")
    called = performance.assign(title=performance["model"].map(titles.model_title), has_groups=True)
    rows = Lookup(called, ("cohort", "model", "has_groups", "measure"), "{cohort}, {title}")
    holm = cells.p_value("p_holm")
    columns = {
        "HCC/n": cells.typeset(ratio_text, "events", "n"),
        "AUC (95% CI)": cells.AREA,
        "DeLong p": cells.P_VALUE,
        "Holm p": holm,
        "Sensitivity": rows.cell(_MEASURED, measure="sensitivity"),
        "McNemar p": rows.cell(cells.P_VALUE, measure="sensitivity"),
        "Holm p (sensitivity)": rows.cell(holm, measure="sensitivity"),
    }
    for name in ("specificity", "ppv", "npv"):
        columns[titles.MEASURE_TITLES[name]] = rows.cell(_MEASURED, measure=name)
    return lay(lines, {"Cohort": cells.COHORT, "Score": cells.plain("title")}, columns | {"Note": cells.NOTE})


def amap_ct_table_s8(comparisons: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 8 and Discussion: what adding the spleen's volume does.

    Parameters
    ----------
    comparisons : pandas.DataFrame
        Tidy, with `DELONG_COLUMNS`: the model with the volume, compared with the one without.
    weights : pandas.DataFrame
        Columns model, term, weight, as `hccbook.models.AmapCtFamily.weights` gives.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and model: AUC with and without the volume, ``Difference (95% CI)``, DeLong's p, and
        the volume's weight (log odds a standard deviation in the training cohort), note.

    Raises
    ------
    DataError
        If a column is missing or a weight is there twice.
    """
    schemas.require_columns(comparisons, schemas.DELONG_COLUMNS, "model comparisons")
    schemas.require_columns(weights, ("model", "term", "weight"), "weights")
    rows = Lookup(weights, ("model", "term"), "weights, {model}, {term}")
    columns = {
        "AUC with volume": cells.number("auc", 3),
        "AUC without": cells.number("auc_compared", 3),
        "Difference (95% CI)": cells.estimate("difference"),
        "p": cells.P_VALUE,
        "Weight of the volume": rows.cell(cells.number("weight", 2), term="spleen_volume_ml"),
        "Note": cells.NOTE,
    }
    return lay(comparisons, {"Cohort": cells.COHORT, "Model": cells.MODEL}, columns)


def reclassification_table(flows: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Fig. 4A: from aMAP's three groups to the two of the stepwise strategy, HCC and patients.

    Parameters
    ----------
    flows : pandas.DataFrame
        Columns source, target, n, events, from aMAP groups (``aMAP low``) to CT groups (``aMAP-CT high``).

    Returns
    -------
    pandas.DataFrame
        Strings, ``HCC/n``; rows by aMAP group, columns by CT group, an empty cell where there is nobody.

    Raises
    ------
    DataError
        If a column is missing, no flow starts at aMAP, or one is there twice.
    """
    schemas.require_columns(flows, ("source", "target", "n", "events"), "flows")
    first = flows[flows["source"].str.startswith("aMAP ") & flows["target"].str.startswith("aMAP-CT ")]
    schemas.require_columns(first, ("source", "target"), "flows from aMAP to aMAP-CT")
    rows = Lookup(first, ("source", "target"), "flows, {source} to {target}", missing=cells.constant(""))
    events = cells.typeset("{}/{}".format, "events", "n")
    targets = [f"aMAP-CT {name}" for name in ("not needed", "low", "high")]
    columns = {target: rows.cell(events, target=target) for target in targets if target in set(first["target"])}
    names = {"aMAP, HCC/n": cells.typeset(lambda source: titles.group_title(source.removeprefix("aMAP ")), "source")}
    return lay(first.drop_duplicates("source"), names, columns)


def tradeoff_table(tradeoff: pd.DataFrame) -> pd.DataFrame:
    """CTs spared against cancers missed, one row per pair of cut-offs.

    Parameters
    ----------
    tradeoff : pandas.DataFrame
        Tidy, with `TRADEOFF_COLUMNS`, of one cohort.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by aMAP and aMAP-CT cut-off: ``CTs spared, % (95% CI)``, ``Cancers missed, % (95% CI)`` with
        their counts, those lost by sparing CTs, and the size of the high-risk group.

    Raises
    ------
    DataError
        If a column is missing.
    """
    schemas.require_columns(tradeoff, schemas.TRADEOFF_COLUMNS, "stepwise trade-off")
    columns = {
        "CTs spared, % (95% CI)": _counted_share("spared", "n"),
        "Cancers missed, % (95% CI)": _counted_share("missed", "events"),
        "Of these lost by sparing CTs": cells.count("lost"),
        "High-risk, n": cells.count("high"),
    }
    cutoffs = {
        "aMAP cut-off": cells.typeset("{:g}".format, "amap_cutoff"),
        "aMAP-CT cut-off": cells.typeset(cutoff_text, "ct_cutoff"),
    }
    return lay(tradeoff, cutoffs, columns)


def _counted_share(what: str, of: str) -> cells.Cell:
    share = cells.percent(f"{what}_share", f"{what}_lower", f"{what}_upper")
    return lambda row: f"{share(row)} [{row[what]}/{row[of]}]"
