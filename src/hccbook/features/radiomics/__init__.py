"""Radiomics: features of intensity, texture and shape of an organ, in PyRadiomics' names."""

from hccbook.features.radiomics.engines import Engine, engine_names, find_engine
from hccbook.features.radiomics.extraction import extract_features
from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.features.radiomics.label_table import extract_labels
from hccbook.features.radiomics.patients import extract_patient, patient_values, radiomics_table
from hccbook.features.radiomics.regions import bounding_box, organ_label
from hccbook.features.radiomics.vocabulary import FEATURES, IMAGE_TYPES
