"""Radiomics under a short name: the public names of `hccbook.features.radiomics`, and nothing of its own.

``hccbook.radiomics.extract_features(image, mask, settings, engine="fast")`` is what a user calls; the package itself
imports from the room.
"""

from hccbook.features.radiomics import ExtractionSettings, engine_names, extract_features

__all__ = ["ExtractionSettings", "engine_names", "extract_features"]
