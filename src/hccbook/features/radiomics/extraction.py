"""Features of one organ on one image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import SimpleITK as sitk

from hccbook.errors import DataError, ImageError, MaskError
from hccbook.features.radiomics.engines import find_engine
from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.features.radiomics.guards import check_region
from hccbook.images import from_array, same_grid, to_array
from hccbook.images.geometry import Grid, check_volume, grids_apart


def extract_features(
    image: sitk.Image,
    mask: sitk.Image,
    settings: ExtractionSettings | None = None,
    engine: str = "fast",
    place: str = "organ",
    threads: int = 1,
) -> pd.Series:
    """Radiomics features of one organ.

    Parameters
    ----------
    image : SimpleITK.Image
        3-D, HU; its size and spacing are (x, y, z).
    mask : SimpleITK.Image
        Mask or label map on the grid of `image`; the organ is where it equals ``settings.label``.
    settings : ExtractionSettings, optional
        Image types, features and discretisation; the unfiltered image's 107 features if absent.
    engine : str
        Program that computes them; see `engine_names`.
    place : str
        How errors name the organ, such as ``"P0003, venous, liver"``.
    threads : int
        Filtered images that the engine may work on at once; the values do not depend on it.

    Returns
    -------
    pandas.Series
        Values by PyRadiomics' names (``original_firstorder_Mean``, ``wavelet-LLH_glcm_Idm``), in the order of
        ``settings.feature_names``. Shape in mm, intensities in HU.

    Raises
    ------
    ImageError
        If the image is not 3-D, or not finite.
    MaskError
        If the mask lies on another grid, lacks the label, or the organ has too few voxels.
    DataError
        If there are more than 10,000 grey levels, or a feature is missing or not finite.
    SettingsError
        If the engine is unknown.

    Notes
    -----
    An organ of one intensity has finite features by PyRadiomics' own conventions: entropy and variance 0,
    GLCM correlation 1, NGTDM coarseness 1,000,000.

    References
    ----------
    Zwanenburg and others, The Image Biomarker Standardization Initiative, Radiology 2020;295:328-338.
    ALARM, Methods; aMAP-CT, Methods.
    """
    (values,) = extract_regions(image, {place: mask}, settings, engine, threads).values()
    return values


def extract_regions(
    image: sitk.Image,
    masks: Mapping[str, sitk.Image],
    settings: ExtractionSettings | None = None,
    engine: str = "fast",
    threads: int = 1,
) -> dict[str, pd.Series]:
    """Radiomics features of several organs of one image, which is checked and windowed once.

    Parameters
    ----------
    image, settings, engine, threads
        As of `extract_features`.
    masks : mapping of str to SimpleITK.Image
        Masks or label maps on the grid of `image`, by how errors name them; each organ is where its own equals
        ``settings.label``.

    Returns
    -------
    dict of str to pandas.Series
        As of `extract_features`, by the same names.

    Raises
    ------
    ImageError, MaskError, DataError, SettingsError
        As of `extract_features`.
    """
    settings = ExtractionSettings() if settings is None else settings
    program = find_engine(engine)
    _check_image(image, next(iter(masks), "image"))
    windowed, features = _windowed(image, settings), {}
    for place, mask in masks.items():
        organ = _organ(image, mask, settings, place)
        check_region(organ, settings, place)
        try:
            values = program.extract(windowed, organ, settings, threads)
        except (MaskError, DataError) as error:
            raise type(error)(f"{place}, {error.place}", error.rule, error.found, error.hint) from error
        features[place] = _checked(values, settings, place)
    return features


def _check_image(image: sitk.Image, place: str) -> None:
    check_volume(image, "image", ImageError, place, "Pass one phase, as a volume.")
    array = sitk.GetArrayViewFromImage(image)
    if not np.isfinite(array).all():
        found = f"{np.count_nonzero(~np.isfinite(array))} voxels that are NaN or infinite"
        hint = "Fill them, with -1024 HU outside the field of view."
        raise ImageError(place, "image must be finite", found, hint)


def _organ(image: sitk.Image, mask: sitk.Image, settings: ExtractionSettings, place: str) -> np.ndarray:
    check_volume(mask, "mask", MaskError, place, "Write one organ, or a label map, a file.")
    if not same_grid(image, mask):
        words = grids_apart(Grid.of(mask), Grid.of(image))
        hint = "Resample the mask onto the image (nearest neighbour)."
        found = f"mask {words[0]} and image {words[1]}"
        raise MaskError(place, "mask must lie on the grid of its image", found, hint)
    array = sitk.GetArrayViewFromImage(mask)
    organ = array == settings.label
    if not organ.any():
        present = [f"{value:g}" for value in np.unique(array)[:6]]
        hint = "Segment the organ, or name the label that it has."
        raise MaskError(place, f"mask must hold the label {settings.label}", f"the values {', '.join(present)}", hint)
    return organ


def _windowed(image: sitk.Image, settings: ExtractionSettings) -> sitk.Image:
    array = to_array(image)
    lower = -np.inf if settings.window_lower is None else settings.window_lower
    upper = np.inf if settings.window_upper is None else settings.window_upper
    if lower <= array.min() and array.max() <= upper:
        return image
    if array.dtype.kind != "f":
        # A bound may lie between two whole numbers, or outside what the integer type holds.
        array = array.astype(np.float32)
    return from_array(np.clip(array, lower, upper), image)


def _checked(values: dict[str, float], settings: ExtractionSettings, place: str) -> pd.Series:
    names = settings.feature_names
    missing = [name for name in names if name not in values]
    if missing:
        found = f"{len(missing)} missing, the first {missing[0]}"
        hint = "The image may be too small for the filter (LoG); leave that image type out, or widen the image."
        raise DataError(place, "every feature asked for must be computed", found, hint)
    series = pd.Series([values[name] for name in names], index=pd.Index(names, name="feature"), dtype=float)
    wrong = series.index[~np.isfinite(series.to_numpy())]
    if len(wrong):
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        hint = "The organ may be too small, or of one intensity: look at the image and the mask."
        raise DataError(place, "every feature must be finite", f"{wrong[0]} = {series[wrong[0]]:g}{more}", hint)
    return series
