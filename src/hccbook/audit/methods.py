"""Methods named wrongly or impossibly: feature counts, filter names, widths of pooling layers."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from hccbook.features.radiomics.vocabulary import FEATURES, WAVELET_BANDS

CHECK = "methods"
"""Name of this family of checks."""

POOLED_WIDTH = {"ResNet-18": 512, "ResNet-50": 2048}
"""Channels behind the last average pooling of a residual network, in two dimensions or three.

He et al. 2016, CVPR, Table 1: four stages of 64, 128, 256 and 512 channels, four times as many behind bottlenecks.
"""

SHAPE = len(FEATURES["shape"])
UNFILTERED = sum(len(names) for names in FEATURES.values())
FILTERED = UNFILTERED - SHAPE


class Configuration(NamedTuple):
    """A choice of images and whole feature classes.

    Attributes
    ----------
    images : int
        Original and filtered images.
    per_image : int
        Features of each of them.
    shape : bool
        Whether the shape features are added, once.
    classes : tuple of str
        Feature classes per image.
    """

    images: int
    per_image: int
    shape: bool
    classes: tuple[str, ...]


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


def configurations(count: int, most_images: int = 40) -> list[Configuration]:
    """Every choice of whole feature classes and images that gives a number of features.

    Parameters
    ----------
    count : int
        Features of one image and mask.
    most_images : int
        Images that are tried at most.

    Returns
    -------
    list of Configuration
        Empty where no choice of whole classes gives it: a column that is no feature may then have been counted.
    """
    textures = {name: len(names) for name, names in FEATURES.items() if name != "shape"}
    choices = []
    for size in range(1, len(textures) + 1):
        for classes in itertools.combinations(textures, size):
            per_image = sum(textures[name] for name in classes)
            for shape in (True, False):
                images, rest = divmod(count - shape * SHAPE, per_image)
                if rest == 0 and 1 <= images <= most_images:
                    choices.append(Configuration(images, per_image, shape, classes))
    return choices


def wavelet_meaning(band: str) -> str:
    """What the name of a wavelet sub-band stands for: the filter along each axis.

    Parameters
    ----------
    band : str
        Three letters, one of `hccbook.features.radiomics.vocabulary.WAVELET_BANDS`.

    Returns
    -------
    str
        For example ``high-pass along x, low-pass along y, low-pass along z``.

    Raises
    ------
    KeyError
        If a letter is neither H nor L.
    """
    passes = {"H": "high-pass", "L": "low-pass"}
    return ", ".join(f"{passes[letter]} along {axis}" for letter, axis in zip(band, "xyz", strict=True))


def names_a_filter(band: str, expansion: str) -> bool:
    """Whether an expansion of a sub-band's name speaks of what it is: a wavelet, or high and low pass."""
    if band not in WAVELET_BANDS:
        return True
    words = expansion.lower()
    return "wavelet" in words or "pass" in words or "sub-band" in words or "subband" in words
