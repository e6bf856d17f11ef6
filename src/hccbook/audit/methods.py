"""Methods named wrongly or impossibly: feature counts, filter names, widths of pooling layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hccbook.audit.description import Method
from hccbook.audit.findings import CERTAIN, IMPLIED, CheckResult, Discrepancy
from hccbook.audit.transcription import Transcription
from hccbook.errors import DataError
from hccbook.features.radiomics.vocabulary import FEATURES, WAVELET_BANDS

CHECK = "methods"

POOLED_WIDTH = {"ResNet-18": 512, "ResNet-50": 2048}
"""Channels behind the last average pooling of a residual network, in two dimensions or three.

He et al. 2016, CVPR, Table 1: four stages of 64, 128, 256 and 512 channels, four times as many behind bottlenecks.
"""

SHAPE = len(FEATURES["shape"])
UNFILTERED = sum(len(names) for names in FEATURES.values())
FILTERED = UNFILTERED - SHAPE


def filtered_images(count: int) -> int | None:
    """Filtered images behind a number of features, all classes being on; None where no whole number gives it.

    Parameters
    ----------
    count : int
        Features of one image and mask.

    Returns
    -------
    int or None
        k in ``107 + 93 k``.

    References
    ----------
    van Griethuysen et al. 2017, Cancer Res 77:e104: 107 features of an unfiltered image, 93 of a filtered one, on
    which no shape is measured.
    """
    rest = count - UNFILTERED
    return rest // FILTERED if rest >= 0 and rest % FILTERED == 0 else None


def is_feature_count(count: int) -> bool:
    """Whether some choice of whole feature classes and of up to 40 images, with or without shape, gives a number.

    Parameters
    ----------
    count : int
        Features of one image and mask.

    Returns
    -------
    bool
        Where it is false, a column that is no feature may have been counted.
    """
    textures = [len(names) for name, names in FEATURES.items() if name != "shape"]
    sizes = {sum(some) for k in range(1, len(textures) + 1) for some in itertools.combinations(textures, k)}
    per_class = (divmod(rest, size) for size in sizes for rest in (count, count - SHAPE))
    return any(rest == 0 and 1 <= images <= 40 for images, rest in per_class)


def wavelet_meaning(band: str) -> str:
    """What the three letters of a wavelet sub-band stand for: ``high-pass along x, low-pass along y, ...``."""
    passes = {"H": "high-pass", "L": "low-pass"}
    return ", ".join(f"{passes[letter]} along {axis}" for letter, axis in zip(band, "xyz", strict=True))


def names_a_filter(band: str, expansion: str) -> bool:
    """Whether an expansion of a sub-band's name speaks of what it is: a wavelet, or high and low pass."""
    if band not in WAVELET_BANDS:
        return True
    words = expansion.lower()
    return "wavelet" in words or "pass" in words or "sub-band" in words or "subband" in words


def check_named(paper: Transcription) -> Iterator[CheckResult]:
    """Numbers and names of the methods against the programs and networks that they name."""
    for one in paper.description.methods:
        check = {"radiomics": _radiomics, "network": _network, "sub-band": _sub_band}[one.kind]
        yield check(paper, one).at(one.place)


def _printed_count(paper: Transcription, one: Method) -> int:
    return round(paper.quoted(one.at).number())


def _radiomics(paper: Transcription, one: Method) -> CheckResult:
    number = _printed_count(paper, one)
    each, rest = divmod(number, one.images)
    filtered = round((number / one.images - UNFILTERED) / FILTERED)
    nearest = UNFILTERED + FILTERED * filtered
    otherwise = Discrepancy(
        CHECK,
        f"features, {one.at.row}",
        f"{number} {one.at.row}, images or phases: {one.images}",
        f"{one.images} x {nearest} = {one.images * nearest}",
        f"{number} / {one.images} = {number / one.images:g}; no choice of whole feature classes of {one.name} on whole "
        f"images gives that; {UNFILTERED} + {filtered} x {FILTERED} = {nearest} is nearest",
        IMPLIED,
    )
    holds = not rest and is_feature_count(each)
    return CheckResult.of_one(holds, f"features are a number that {one.name} gives", otherwise)


def _network(paper: Transcription, one: Method) -> CheckResult:
    if one.name not in POOLED_WIDTH:
        known = ", ".join(POOLED_WIDTH)
        raise DataError("paper.yaml: methods", f"a network must be one of {known}", one.name, "Leave it out.")
    number, width = _printed_count(paper, one), POOLED_WIDTH[one.name]
    otherwise = Discrepancy(
        CHECK,
        f"features, {one.at.row}",
        f"{number} values from the pooling layer of a {one.name}, images or phases: {one.images}",
        f"{one.images * width} values",
        f"the average pooling of a {one.name} has {width} channels an image, {one.images * width} in all, not {number}",
        IMPLIED,
    )
    return CheckResult.of_one(number == one.images * width, "width of the pooling layer", otherwise)


def _sub_band(_: Transcription, one: Method) -> CheckResult:
    shown = f"{one.name}: {one.expansion}"
    meaning = f"{one.name}: {wavelet_meaning(one.name)}" if one.name in WAVELET_BANDS else shown
    arithmetic = "PyRadiomics names the sub-bands of a wavelet by a letter an axis, H for high-pass and L for low-pass"
    otherwise = Discrepancy(CHECK, f"sub-band {one.name}", shown, meaning, arithmetic, CERTAIN)
    holds = names_a_filter(one.name, one.expansion)
    return CheckResult.of_one(holds, f"sub-band {one.name} named as a filter", otherwise)
