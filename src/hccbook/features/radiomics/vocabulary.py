"""Names of feature classes, features and image types, as every engine must use them."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection

from hccbook.errors import SettingsError

_GREY_LEVELS = ("GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized", "GrayLevelVariance")

FEATURES: dict[str, tuple[str, ...]] = {
    "shape": (
        *("Elongation", "Flatness", "LeastAxisLength", "MajorAxisLength", "Maximum2DDiameterColumn"),
        *("Maximum2DDiameterRow", "Maximum2DDiameterSlice", "Maximum3DDiameter", "MeshVolume", "MinorAxisLength"),
        *("Sphericity", "SurfaceArea", "SurfaceVolumeRatio", "VoxelVolume"),
    ),
    "firstorder": (
        *("10Percentile", "90Percentile", "Energy", "Entropy", "InterquartileRange", "Kurtosis", "Maximum"),
        *("MeanAbsoluteDeviation", "Mean", "Median", "Minimum", "Range", "RobustMeanAbsoluteDeviation"),
        *("RootMeanSquared", "Skewness", "TotalEnergy", "Uniformity", "Variance"),
    ),
    "glcm": (
        *("Autocorrelation", "ClusterProminence", "ClusterShade", "ClusterTendency", "Contrast", "Correlation"),
        *("DifferenceAverage", "DifferenceEntropy", "DifferenceVariance", "Id", "Idm", "Idmn", "Idn", "Imc1", "Imc2"),
        *("InverseVariance", "JointAverage", "JointEnergy", "JointEntropy", "MCC", "MaximumProbability"),
        *("SumAverage", "SumEntropy", "SumSquares"),
    ),
    "gldm": (
        *("DependenceEntropy", "DependenceNonUniformity", "DependenceNonUniformityNormalized", "DependenceVariance"),
        *("GrayLevelNonUniformity", "GrayLevelVariance", "HighGrayLevelEmphasis", "LargeDependenceEmphasis"),
        *("LargeDependenceHighGrayLevelEmphasis", "LargeDependenceLowGrayLevelEmphasis", "LowGrayLevelEmphasis"),
        *("SmallDependenceEmphasis", "SmallDependenceHighGrayLevelEmphasis", "SmallDependenceLowGrayLevelEmphasis"),
    ),
    "glrlm": (
        *(*_GREY_LEVELS, "HighGrayLevelRunEmphasis", "LongRunEmphasis", "LongRunHighGrayLevelEmphasis"),
        *("LongRunLowGrayLevelEmphasis", "LowGrayLevelRunEmphasis", "RunEntropy", "RunLengthNonUniformity"),
        *("RunLengthNonUniformityNormalized", "RunPercentage", "RunVariance", "ShortRunEmphasis"),
        *("ShortRunHighGrayLevelEmphasis", "ShortRunLowGrayLevelEmphasis"),
    ),
    "glszm": (
        *(*_GREY_LEVELS, "HighGrayLevelZoneEmphasis", "LargeAreaEmphasis", "LargeAreaHighGrayLevelEmphasis"),
        *("LargeAreaLowGrayLevelEmphasis", "LowGrayLevelZoneEmphasis", "SizeZoneNonUniformity"),
        *("SizeZoneNonUniformityNormalized", "SmallAreaEmphasis", "SmallAreaHighGrayLevelEmphasis"),
        *("SmallAreaLowGrayLevelEmphasis", "ZoneEntropy", "ZonePercentage", "ZoneVariance"),
    ),
    "ngtdm": ("Busyness", "Coarseness", "Complexity", "Contrast", "Strength"),
}
"""Features by class, in PyRadiomics' words: 14 + 18 + 24 + 14 + 16 + 16 + 5 = 107.

Features that PyRadiomics calls deprecated are left out, as they are when all features of a class are asked for.
"""

IMAGE_TYPES: dict[str, str] = {
    name.lower(): name
    for name in ("Original", "Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LoG")
}
"""Image types in their order, with PyRadiomics' name for each; `log` is the Laplacian of Gaussian."""


def wavelet_bands(axes: int) -> tuple[str, ...]:
    """Sub-bands of a wavelet along so many axes, the approximation last; the first letter is that of the first axis."""
    approximation, *details = ("".join(letters) for letters in itertools.product("LH", repeat=axes))
    return (*details, approximation)


WAVELET_BANDS = wavelet_bands(3)
"""Sub-bands of a wavelet, letters in the order x, y, z, the approximation last."""


def wavelet_name(level: int, band: str) -> str:
    """Name of a wavelet image, such as ``wavelet-LLH``, or ``wavelet2-LLH`` of the second level."""
    return f"wavelet{level if level > 1 else ''}-{band}"


def laplacian_name(sigma: float) -> str:
    """Name of a Laplacian of Gaussian, such as ``log-sigma-3-0-mm-3D``."""
    return f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D"


def unknown_name(place: str, rule: str, name: object, known: Collection[str]) -> SettingsError:
    """Error for a name that is none of the known ones; its hint names the nearest."""
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    listed = f"Supported here: {', '.join(known)}." if known else "None is supported here."
    return SettingsError(place, rule, repr(name), hint + listed)
