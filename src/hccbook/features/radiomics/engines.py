"""Registry of the programs that compute features, by name."""

from __future__ import annotations

import functools
import importlib
from typing import Protocol

import numpy as np
import SimpleITK as sitk

from hccbook.errors import SettingsError
from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.features.radiomics.vocabulary import unknown_name

_ENGINES = {
    "fast": "hccbook.features.radiomics.fast_engine:FastEngine",
    "pyradiomics": "hccbook.features.radiomics.pyradiomics_engine:PyRadiomicsEngine",
}


class Engine(Protocol):
    """What a program must offer to compute features.

    Attributes
    ----------
    version : str
        Changes whenever a value may change; results are kept under it.
    """

    version: str

    def extract(
        self, image: sitk.Image, mask: np.ndarray, settings: ExtractionSettings, threads: int = 1
    ) -> dict[str, float]:
        """Values of ``settings.feature_names``, in any order.

        Parameters
        ----------
        image : SimpleITK.Image
            3-D, finite, clipped to the window.
        mask : ndarray of bool, shape (z, y, x)
            The organ, on the grid of `image`.
        settings : ExtractionSettings
        threads : int
            How many it may use; the values do not depend on it.

        Returns
        -------
        dict of str to float
            May hold values that are not finite.

        Raises
        ------
        MaskError
            If resampling or narrowing the organ leaves too little of it.
        DataError
            If a filtered image is not finite in the organ, or has too many grey levels.
        """
        ...


def engine_names() -> tuple[str, ...]:
    """Names of the engines at hand."""
    return tuple(_ENGINES)


@functools.cache
def find_engine(name: str) -> Engine:
    """Engine of that name, loaded at first use.

    Raises
    ------
    SettingsError
        If there is none of that name, or the program that it needs is not installed.
    """
    if name not in _ENGINES:
        raise unknown_name("radiomics engine", "must be a known engine", name, _ENGINES)
    module, _, attribute = _ENGINES[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)()
    except ImportError as error:
        place, rule = f"radiomics engine {name!r}", "its program must be installed"
        raise SettingsError(place, rule, str(error), "Run 'hccbook doctor'.") from error
