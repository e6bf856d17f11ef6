"""Attenuation of the tissues in the three contrast phases.

Means are those that textbooks and protocol papers give for 120 kVp and about 1.5 mL/kg of contrast medium:
late arterial about 35 s, portal venous about 70 s, delayed about 180 s after injection.
The liver rises by about 50 HU in the venous phase; the aorta stands near 300, 160 and 115 HU;
the renal cortex leaves the medulla behind in the arterial phase only, and the delayed phase
shows contrast medium in the renal pelvis.
"""

from __future__ import annotations

import numpy as np

from hccbook.settings import PHASES

PHASE_HU: dict[str, tuple[float, float, float]] = {
    "aorta": (300.0, 160.0, 115.0),
    "portal_vein": (125.0, 176.0, 122.0),
    "hepatic_vein": (72.0, 166.0, 120.0),
    "cava_upper": (105.0, 158.0, 118.0),
    "cava_lower": (62.0, 128.0, 116.0),
    "heart": (215.0, 152.0, 112.0),
    "liver": (70.0, 110.0, 92.0),
    "spleen": (122.0, 124.0, 101.0),
    "cortex": (190.0, 196.0, 158.0),
    "medulla": (72.0, 168.0, 152.0),
    "renal_pelvis": (8.0, 12.0, 290.0),
    "pancreas": (104.0, 98.0, 78.0),
    "gut_wall": (82.0, 100.0, 84.0),
    "adrenal": (80.0, 88.0, 68.0),
    "muscle": (58.0, 64.0, 63.0),
}
"""Mean HU by tissue, in the order of `PHASES`."""

FIXED_HU: dict[str, float] = {"lung": -845.0, "bile": 9.0, "gut_fluid": 16.0, "gut_gas": -900.0, "stool": 35.0}
"""Mean HU of contents that contrast medium does not reach; what does not breathe has its own in `anatomy`."""

_UNENHANCED = {"liver": 56.0, "spleen": 46.0, "renal_pelvis": 5.0}
_BLOOD = 42.0


def draw_enhancement(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """HU by phase and tissue of one patient: the means, scaled by the patient's own circulation and contrast dose."""
    # Arterial filling varies most: it hangs on cardiac output and on the delay chosen.
    gains = np.exp(rng.standard_normal(len(PHASES)) * np.array([0.10, 0.05, 0.05]))
    own = {tissue: float(np.exp(0.03 * rng.standard_normal())) for tissue in PHASE_HU}
    by_phase = {phase: dict(FIXED_HU) for phase in PHASES}
    for tissue, means in PHASE_HU.items():
        start = _UNENHANCED.get(tissue, _BLOOD)
        for phase, mean, gain in zip(PHASES, means, gains, strict=True):
            by_phase[phase][tissue] = start + (mean - start) * float(gain) * own[tissue]
    # Brighter than the cava halfway between its parts: the veins bring what the kidneys let through.
    for values in by_phase.values():
        values["renal_vein"] = 0.5 * (values["cava_upper"] + values["cava_lower"]) + 15.0
    return by_phase
