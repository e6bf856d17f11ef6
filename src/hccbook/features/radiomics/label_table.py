"""Features of several labels of one image, one row per label, with what they were taken from and by what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import SimpleITK as sitk

from hccbook.features.radiomics.engines import find_engine
from hccbook.features.radiomics.extraction import extract_regions
from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.images import read_image, read_masks
from hccbook.images.repeats import content_of
from hccbook.segmentation.plausibility import remark_implausible

PROVENANCE = "diagnostics_"
"""What columns that are no features begin with, as in PyRadiomics' own tables."""


def extract_labels(
    image: str | Path,
    mask: str | Path,
    labels: Sequence[str] = (),
    settings: ExtractionSettings | None = None,
    engine: str = "fast",
    threads: int = 1,
) -> pd.DataFrame:
    """Features of several labels of one image, which is read and windowed once.

    Parameters
    ----------
    image : path-like
        As of `hccbook.images.read_image`.
    mask : path-like
        As of `hccbook.images.read_mask`.
    labels : sequence of str
        Labels of a NIfTI file, or names of segments, regions or organs; ``all`` is every label of a NIfTI file. Without
        one, what the path of the mask says.
    settings : ExtractionSettings, optional
    engine, threads
        As of `hccbook.features.radiomics.extract_features`.

    Returns
    -------
    pandas.DataFrame
        One row per label: ``Label`` (1 where none is named), the columns of `provenance`, then the features.

    Raises
    ------
    ImageError, MaskError, DataError, SettingsError
        As reading and `hccbook.features.radiomics.extract_features` do; messages name the label.
    """
    settings = ExtractionSettings() if settings is None else settings
    volume = read_image(image)
    masks = read_masks(mask, volume, labels)
    for name, marked in masks.items():
        remark_implausible(volume, marked, name)
    features = extract_regions(volume, masks, settings, engine, threads)
    shared = provenance(volume, settings, engine)
    rows = []
    for label, values in features.items():
        own = {"Label": label.rpartition("#")[2] if "#" in label else "1"}
        own[f"{PROVENANCE}Mask-original_Hash"] = content_of(masks[label])
        rows.append({**own, **shared, **values})
    return pd.DataFrame(rows)


def provenance(image: sitk.Image, settings: ExtractionSettings, engine: str) -> Mapping[str, str]:
    """What features follow from besides the mask: programs, settings and voxels.

    Returns
    -------
    mapping of str to str
        Versions of the package, the engine, SimpleITK and numpy; SHA-256 of the settings (as JSON with sorted keys) and
        of the image's voxels, in whatever direction they are stored.
    """
    text = json.dumps(settings.model_dump(mode="json", exclude={"label"}), sort_keys=True)
    versions = {"hccbook": version("hccbook"), "engine": find_engine(engine).version}
    versions |= {"SimpleITK": version("SimpleITK"), "numpy": version("numpy")}
    named = {f"{PROVENANCE}Versions_{name}": number for name, number in versions.items()}
    return named | {
        f"{PROVENANCE}Configuration_Hash": hashlib.sha256(text.encode()).hexdigest(),
        f"{PROVENANCE}Image-original_Hash": content_of(image),
    }
