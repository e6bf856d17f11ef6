"""Methods named wrongly or impossibly: feature counts, filter names, widths of pooling layers."""

from __future__ import annotations

import itertools

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
