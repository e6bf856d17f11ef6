"""Names of feature classes, features and image types, as every engine must use them."""

from __future__ import annotations

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
    "original": "Original",
    "wavelet": "Wavelet",
    "square": "Square",
    "squareroot": "SquareRoot",
    "logarithm": "Logarithm",
    "exponential": "Exponential",
    "gradient": "Gradient",
    "log": "LoG",
}
"""Image types in their order, with PyRadiomics' name for each; `log` is the Laplacian of Gaussian."""

WAVELET_BANDS = ("LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH", "LLL")
"""Sub-bands of a wavelet, letters in the order x, y, z, the approximation last."""
