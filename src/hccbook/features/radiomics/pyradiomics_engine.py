"""PyRadiomics as an engine: its filters, its matrices, its formulas, without repeating work.

`PyRadiomicsEngine.extract` takes the steps of `radiomics.featureextractor.RadiomicsFeatureExtractor.execute` in their
order and calls the same functions, so that the values are the same (a test compares them), but

- filters run on the part of the image that can reach the organ, not on the whole image;
- grey levels are assigned once an image, not once in each of its six feature classes;
- the names of a class's features are looked up once.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pywt
import radiomics as pyradiomics
import SimpleITK as sitk
from radiomics import imageoperations

from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.features.radiomics.guards import checked_range
from hccbook.features.radiomics.preparation import prepare
from hccbook.features.radiomics.regions import bounding_box, widened, within
from hccbook.features.radiomics.vocabulary import FEATURES, IMAGE_TYPES

_POINTWISE = {"square", "squareroot", "logarithm", "exponential"}


class PyRadiomicsEngine:
    """PyRadiomics (van Griethuysen and others, Cancer Research 2017;77:e104-e107)."""

    version = f"pyradiomics {pyradiomics.__version__}"

    def extract(
        self, image: sitk.Image, mask: np.ndarray, settings: ExtractionSettings, threads: int = 1
    ) -> dict[str, float]:
        """As `Engine.extract`; PyRadiomics holds the interpreter's lock, and more threads are of no use."""
        with _quiet():
            return _extract(image, mask, settings)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # PyRadiomics logs every step, and numpy warns of divisions that PyRadiomics repairs afterwards. What matters in
    # them, a value that is missing or not finite, is checked by the caller.
    log = logging.getLogger("radiomics")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _extract(image: sitk.Image, mask: np.ndarray, settings: ExtractionSettings) -> dict[str, float]:
    image, mask, region = prepare(image, mask, settings)
    box = bounding_box(region)
    values: dict[str, float] = {}
    classes = [name for name in settings.feature_classes if name != "shape"]
    if "shape" in settings.feature_classes:
        # PyRadiomics crops the organ to the box of the narrowed organ before it takes its shape; so do we.
        organ = sitk.GetImageFromArray(mask[box].astype(np.uint8))
        organ.SetSpacing(image.GetSpacing())
        shape = pyradiomics.getFeatureClasses()["shape"](organ, organ, **settings.pyradiomics_options())
        values |= {f"original_shape_{name}": value for name, value in _computed(shape, "shape", settings).items()}
    if classes:
        organ = np.ascontiguousarray(region[box])
        for image_type, name, filtered in _filtered_images(image, box, settings):
            levels, width = _grey_levels(filtered, organ, name, image_type, settings)
            # The mask's image is not looked at: the array is given.
            options = settings.pyradiomics_options() | {"binWidth": width, "_organ": organ, "_levels": levels}
            for feature_class in classes:
                found = _computed(_sharing_class(feature_class)(filtered, filtered, **options), feature_class, settings)
                values |= {f"{name}_{feature_class}_{feature}": value for feature, value in found.items()}
    return values


# --- filters ---------------------------------------------------------------------------------------------------------


def _filtered_images(
    image: sitk.Image, box: tuple[slice, ...], settings: ExtractionSettings
) -> Iterator[tuple[str, str, sitk.Image]]:
    """Type, name, and image cropped to `box`, of every image; filtered are only those voxels that reach the box."""
    shape = image.GetSize()[::-1]
    # The recursive Gaussian of the LoG reaches through the whole image.
    reach = {"wavelet": _wavelet_reach(settings), "gradient": 2, "log": max(shape)}
    for image_type in settings.image_types:
        around = widened(box, reach.get(image_type, 0), shape)
        if image_type == "wavelet":
            # It wraps around: near one face of the image it takes voxels from the opposite face.
            around = tuple(
                part if part.stop - part.start == b.stop - b.start + 2 * reach["wavelet"] else slice(0, length)
                for part, b, length in zip(around, box, shape, strict=True)
            )
        part = image[around[::-1]]
        if image_type in _POINTWISE:
            part = _with_peak(part, image)
        run = getattr(imageoperations, f"get{IMAGE_TYPES[image_type]}Image")
        for filtered, name, _ in run(part, None, **settings.pyradiomics_options()):
            yield image_type, name, filtered[within(box, around)[::-1]]


def _wavelet_reach(settings: ExtractionSettings) -> int:
    levels = settings.wavelet_start_level + settings.wavelet_levels
    return pywt.Wavelet(settings.wavelet).dec_len * levels + 2


def _with_peak(part: sitk.Image, image: sitk.Image) -> sitk.Image:
    """Part of an image with one more slice, at its top, that holds the whole image's intensity farthest from 0.

    Square, square root, logarithm and exponential map voxel by voxel, scaled by the largest absolute value of the
    whole image: with that value in the part, the part is mapped as the whole image would be.
    """
    array, whole = sitk.GetArrayViewFromImage(part), sitk.GetArrayViewFromImage(image)
    peak = max(whole.min(), whole.max(), key=lambda intensity: abs(float(intensity)))
    taller = sitk.GetImageFromArray(np.pad(array, ((0, 1), (0, 0), (0, 0)), constant_values=peak))
    taller.SetSpacing(image.GetSpacing())
    return taller


# --- feature classes -------------------------------------------------------------------------------------------------


def _grey_levels(
    image: sitk.Image, organ: np.ndarray, name: str, image_type: str, settings: ExtractionSettings
) -> tuple[np.ndarray, float]:
    """Grey levels of the organ, from 1, 0 outside; and their bin width."""
    values = sitk.GetArrayViewFromImage(image)[organ]
    extremes, width = checked_range(values, name, image_type, settings)
    levels = np.zeros(organ.shape, dtype=int)
    edges = imageoperations.getBinEdges(extremes, **settings.pyradiomics_options() | {"binWidth": width})
    levels[organ] = np.digitize(values, edges)
    return levels, width


@functools.cache
def _sharing_class(name: str) -> type:
    """PyRadiomics' feature class, which takes the organ and its grey levels as they were made before."""
    theirs = pyradiomics.getFeatureClasses()[name]
    names = theirs.getFeatureNames()

    class Sharing(theirs):
        @classmethod
        def getFeatureNames(cls):  # noqa: N802 - PyRadiomics' name
            return names

        def _initSegmentBasedCalculation(self):  # noqa: N802 - PyRadiomics' name
            self.maskArray = self.settings["_organ"]

        def _applyBinning(self, matrix):  # noqa: N802 - PyRadiomics' name
            levels = self.settings["_levels"]
            present = np.flatnonzero(np.bincount(levels[self.maskArray]))
            self.coefficients["grayLevels"] = present
            self.coefficients["Ng"] = int(present[-1])
            return levels

    Sharing.__module__ = theirs.__module__  # PyRadiomics names its logger after this.
    return Sharing


def _computed(features: Any, feature_class: str, settings: ExtractionSettings) -> dict[str, float]:
    for feature in settings.features.get(feature_class, FEATURES[feature_class]):
        features.enableFeatureByName(feature)
    return {name: float(value) for name, value in features.execute().items()}
