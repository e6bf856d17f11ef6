"""Whether radiomics programs give the same values: their names in PyRadiomics' words, and relative differences.

`radiomics_names.csv` has PyRadiomics' 107 features, the standard's tag of each (as MIRP and z-rad write it) and Nyxus'
name; empty where there is none. pictologics ends its names with the standard's identifiers, which `data/ibsi` lists.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from hccbook.features.radiomics.ibsi import identifiers

_ROWS = tuple(csv.DictReader(Path(__file__).with_name("radiomics_names.csv").open(encoding="utf-8")))
FEATURES = tuple(f"{row['class']}_{row['feature']}" for row in _ROWS)

_OTHER_SPELLINGS = {
    # fastrad
    "firstorder10thpercentile": "firstorder10percentile",
    "firstorder90thpercentile": "firstorder90percentile",
    # numpyradiomics
    "glrlmrunlengthvariance": "glrlmrunvariance",
    "glszmzonesizevariance": "glszmzonevariance",
    "glszmzonesizenonuniformity": "glszmsizezonenonuniformity",
    "glszmzonesizenonuniformitynormalized": "glszmsizezonenonuniformitynormalized",
    **{
        f"glrlm{length}run{grey}graylevelrunemphasis": f"glrlm{length}run{grey}graylevelemphasis"
        for length in ("short", "long")
        for grey in ("low", "high")
    },
}
_OTHER_TAGS = {
    # PySERA
    "morph_volume_mesh": "morph_volume",
    "morph_volume_count": "morph_vol_approx",
    "morph_surface_area": "morph_area_mesh",
    "morph_sv_ratio": "morph_av",
    "morph_max_3d_diameter": "morph_diam",
    "morph_major_axis_length": "morph_pca_maj_axis",
    "morph_minor_axis_length": "morph_pca_min_axis",
    "morph_least_axis_length": "morph_pca_least_axis",
    "morph_elongation": "morph_pca_elongation",
    "morph_flatness": "morph_pca_flatness",
    "rlm_rl_entropy": "rlm_rl_entr",
    **{f"szm_{size}d{grey}ge": f"szm_{size}z{grey}ge" for size in "sl" for grey in "lh"},
}
_OTHER_CODES = {"5QRC": "P001"}  # pictologics has another identifier for the standard's small zone emphasis
_FAMILY_TAGS = {"glcm_": "cm_", "glrlm_": "rlm_", "ngtdm_": "ngt_"}
_SETTINGS_IN_TAG = re.compile(r"(_d1)?(_a0\.0)?(_3[dD])?(_avg)?(_fbsp_w[\d.]+)?$")


def _spelling(name: str) -> str:
    letters = re.sub(r"[^a-z0-9]", "", name.lower().removeprefix("original_"))
    return _OTHER_SPELLINGS.get(letters, letters)


def _tag(name: str) -> str:
    tag = _SETTINGS_IN_TAG.sub("", name)
    for family, short in _FAMILY_TAGS.items():
        if tag.startswith(family):
            tag = short + tag.removeprefix(family)
    return _OTHER_TAGS.get(tag, tag)


def _keys() -> Iterator[tuple[str, str]]:
    """What each feature may be called, once a name is brought into one of the forms above, and the feature."""
    codes = {f"{row['class']}_{row['feature']}": row["ibsi_identifier"] for _, row in identifiers().iterrows()}
    for feature, row in zip(FEATURES, _ROWS, strict=True):
        code = codes[feature]
        for name in (_spelling(feature), row["tag"], row["nyxus"], code, _OTHER_CODES.get(code)):
            if name:
                yield name, feature


_FEATURE_OF = dict(_keys())


def matched(values: dict[str, float]) -> dict[str, float]:
    """Values by PyRadiomics' names, such as ``glcm_Contrast``; what has no match there is left out."""
    found = {}
    for name, value in values.items():
        for form in (_spelling(name), _tag(name), name, name[-4:]):
            if form in _FEATURE_OF:
                found.setdefault(_FEATURE_OF[form], value)
                break
    return found


def relative_differences(values: dict[str, float], expected: dict[str, float]) -> list[float | None]:
    """Difference of each of `FEATURES` as a share of the expected value, two digits of it; None where it is left out.

    NaN counts as left out.
    """
    differences = []
    for feature in FEATURES:
        value, reference = values.get(feature, float("nan")), expected[feature]
        difference = abs(value - reference) / (abs(reference) or 1.0)
        differences.append(None if value != value else float(f"{difference:.1e}"))
    return differences
