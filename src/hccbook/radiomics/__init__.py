"""Radiomics: features of intensity, texture and shape of an organ, in PyRadiomics' names."""

from hccbook.radiomics.engines import Engine, engine_names, find_engine
from hccbook.radiomics.extraction import extract_features
from hccbook.radiomics.extraction_settings import ExtractionSettings
from hccbook.radiomics.patients import (
    ENGINE_VERSION,
    RadiomicsTask,
    extract_radiomics_task,
    radiomics_table,
    stored_radiomics,
)
from hccbook.radiomics.regions import bounding_box, organ_label
from hccbook.radiomics.vocabulary import FEATURES, IMAGE_TYPES

__all__ = [
    "ENGINE_VERSION",
    "FEATURES",
    "IMAGE_TYPES",
    "Engine",
    "ExtractionSettings",
    "RadiomicsTask",
    "bounding_box",
    "engine_names",
    "extract_features",
    "extract_radiomics_task",
    "find_engine",
    "organ_label",
    "radiomics_table",
    "stored_radiomics",
]
