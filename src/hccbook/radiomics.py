"""Radiomics under a short name: the public names of `hccbook.features.radiomics`, and nothing of its own.

``hccbook.radiomics.extract_features(image, mask, settings, engine="fast")`` is what a user calls; the package itself
imports from there.
"""

# ruff: noqa: F401
from hccbook.features.radiomics import ExtractionSettings, engine_names, extract_features
