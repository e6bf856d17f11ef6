"""A collection of CT as an archive wrote it: its files, volumes, phases and masks, and the manifest that follows."""

from hccbook.collection.manifest import Choices, ManifestReport, write_manifest
from hccbook.collection.phases import Observation, PhaseProposal, propose_phases
