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
from hccbook.features.radiomics.guards import check_finite, check_grey_levels
from hccbook.features.radiomics.preparation import prepare, pyradiomics_options
from hccbook.features.radiomics.regions import bounding_box
from hccbook.features.radiomics.vocabulary import FEATURES, IMAGE_TYPES

_POINTWISE = {"square", "squareroot", "logarithm", "exponential"}


class PyRadiomicsEngine:
    """PyRadiomics (van Griethuysen and others, Cancer Research 2017;77:e104-e107).

    Attributes
    ----------
    version : str
        Version of PyRadiomics.
    """

    version = f"pyradiomics {pyradiomics.__version__}"

    def extract(
        self, image: sitk.Image, mask: np.ndarray, settings: ExtractionSettings, threads: int = 1
    ) -> dict[str, float]:
        """Values of all features that `settings` ask for.

        Parameters
        ----------
        image : SimpleITK.Image
            3-D, finite, clipped to the window.
        mask : ndarray of bool, shape (z, y, x)
            The organ, on the grid of `image`.
        settings : ExtractionSettings
        threads : int
            Without effect: PyRadiomics holds the interpreter's lock.

        Returns
        -------
        dict of str to float
            In no particular order; may hold values that are not finite.

        Raises
        ------
        MaskError
            If resampling or narrowing the organ leaves too little of it.
        DataError
            If a filtered image is not finite in the organ, or has too many grey levels.
        """
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
    options = pyradiomics_options(settings)
    image, mask, region = prepare(image, mask, settings)
    box = bounding_box(region)

    values: dict[str, float] = {}
    if "shape" in settings.feature_classes:
        # PyRadiomics crops the organ to the box of the narrowed organ before it takes its shape; so do we.
        values |= _class_values("shape", "original", _crop(image, box), mask[box], None, settings, options)
    classes = [name for name in settings.feature_classes if name != "shape"]
    organ = np.ascontiguousarray(region[box])
    if classes:
        for name, filtered, own in _filtered_images(image, box, settings, options):
            levels = _grey_levels(filtered, organ, name, own)
            for feature_class in classes:
                values |= _class_values(feature_class, name, filtered, organ, levels, settings, own)
    return values


def _crop(image: sitk.Image, box: tuple[slice, ...]) -> sitk.Image:
    """Part of an image, with its spacing; `box` is in array order (z, y, x).

    Where the part lies in space is lost: neither filters nor features look at it.
    """
    part = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(image)[box])
    part.SetSpacing(image.GetSpacing())
    return part


# --- filters ---------------------------------------------------------------------------------------------------------


def _filtered_images(
    image: sitk.Image, box: tuple[slice, ...], settings: ExtractionSettings, options: dict[str, Any]
) -> Iterator[tuple[str, sitk.Image, dict[str, Any]]]:
    """Name, image cropped to `box`, and options of every image type."""
    peak: np.generic | None = None
    for image_type in settings.image_types:
        own = options | {"binWidth": settings.image_bin_widths.get(image_type, settings.bin_width)}
        run = functools.partial(getattr(imageoperations, f"get{IMAGE_TYPES[image_type]}Image"), **own)
        if image_type in _POINTWISE:
            if peak is None:
                peak = _farthest_from_zero(image)
            (filtered, name, _), *_ = run(_with_peak(_crop(image, box), peak), None)
            yield name, _crop(filtered, np.s_[:-1, :, :]), own
            continue
        if image_type == "original":
            around = box
        elif image_type == "wavelet":
            around = _reach(box, image.GetSize()[::-1], _wavelet_reach(settings), wraps=True)
        elif image_type == "gradient":
            around = _reach(box, image.GetSize()[::-1], 2, wraps=False)
        else:  # The recursive Gaussian of the LoG reaches through the whole image.
            around = tuple(slice(0, length) for length in image.GetSize()[::-1])
        inside = tuple(slice(b.start - a.start, b.stop - a.start) for a, b in zip(around, box, strict=True))
        for filtered, name, _ in run(_crop(image, around), None):
            yield name, _crop(filtered, inside), own


def _wavelet_reach(settings: ExtractionSettings) -> int:
    levels = settings.wavelet_start_level + settings.wavelet_levels
    return pywt.Wavelet(settings.wavelet).dec_len * levels + 2


def _reach(box: tuple[slice, ...], shape: tuple[int, ...], reach: int, *, wraps: bool) -> tuple[slice, ...]:
    """Box widened by the reach of a filter.

    A filter that wraps around takes, near one face of the image, voxels from the opposite face: there the whole axis
    is needed.
    """
    wider = []
    for part, length in zip(box, shape, strict=True):
        low, high = part.start - reach, part.stop + reach
        if wraps and (low < 0 or high > length):
            low, high = 0, length
        wider.append(slice(max(low, 0), min(high, length)))
    return tuple(wider)


def _farthest_from_zero(image: sitk.Image) -> np.generic:
    array = sitk.GetArrayViewFromImage(image)
    low, high = array.min(), array.max()
    return high if abs(float(high)) >= abs(float(low)) else low


def _with_peak(image: sitk.Image, peak: np.generic) -> sitk.Image:
    """Image with one more slice, at its top, that holds `peak`.

    Square, square root, logarithm and exponential map voxel by voxel, scaled by the largest absolute value of the
    whole image: with that value in the crop, the crop is mapped as the whole image would be.
    """
    array = sitk.GetArrayViewFromImage(image)
    stack = np.concatenate([array, np.full((1, *array.shape[1:]), peak, dtype=array.dtype)])
    taller = sitk.GetImageFromArray(stack)
    taller.SetSpacing(image.GetSpacing())
    return taller


# --- feature classes -------------------------------------------------------------------------------------------------


def _grey_levels(image: sitk.Image, organ: np.ndarray, name: str, options: dict[str, Any]) -> np.ndarray:
    """Grey levels of the organ, from 1; 0 outside."""
    values = sitk.GetArrayViewFromImage(image)[organ]
    check_finite(values, name)
    extremes = np.array([values.min(), values.max()])
    check_grey_levels(extremes, options["binWidth"], options["binCount"], name)
    edges = imageoperations.getBinEdges(extremes, **options)
    levels = np.zeros(organ.shape, dtype=int)
    levels[organ] = np.digitize(values, edges)
    return levels


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


def _class_values(
    feature_class: str,
    image_name: str,
    image: sitk.Image,
    organ: np.ndarray,
    levels: np.ndarray | None,
    settings: ExtractionSettings,
    options: dict[str, Any],
) -> dict[str, float]:
    if levels is None:
        mask = sitk.GetImageFromArray(organ.astype(np.uint8))
        mask.CopyInformation(image)
        computed = pyradiomics.getFeatureClasses()[feature_class](image, mask, **options)
    else:
        # The mask's image is not looked at: the array is given.
        shared = options | {"_organ": organ, "_levels": levels}
        computed = _sharing_class(feature_class)(image, image, **shared)
    for feature in settings.features.get(feature_class, FEATURES[feature_class]):
        computed.enableFeatureByName(feature)
    return {f"{image_name}_{feature_class}_{name}": float(value) for name, value in computed.execute().items()}
