"""Which volume and masks of a patient go into the manifest, and what is left empty because nothing decides it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hccbook.collection.masks import Tie
from hccbook.collection.phases import UNSURE, PhaseProposal
from hccbook.collection.volumes import Volume
from hccbook.settings import ORGANS

STUDY_POLICIES = ("", "first", "last")
"""What decides between several studies of a patient that have all phases: nothing, or their date."""

_SAME_S = 3.0  # reconstructions of one acquisition start within that
_SAME_EXTENT = 0.9  # share of the longest volume that a shorter one must have to be preferred for its finer slices


@dataclass
class Selection:
    """What is decided for one patient.

    Attributes
    ----------
    volumes : dict of str to int
        Number of the volume by phase.
    masks : dict of str to Tie
        Mask by column of the manifest.
    parts : dict of str to str
        What stands behind ``#`` for each of these columns; empty where nothing does.
    empty : dict of str to str
        Reason by column that is left empty.
    uses : dict of int to str
        What each volume of the patient is used for, or why it is not.
    """

    volumes: dict[str, int] = field(default_factory=dict)
    masks: dict[str, Tie] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    empty: dict[str, str] = field(default_factory=dict)
    uses: dict[int, str] = field(default_factory=dict)


def select(
    numbers: Sequence[int],
    volumes: Mapping[int, Volume],
    proposals: Mapping[int, PhaseProposal],
    ties: Sequence[Tie],
    phases: Sequence[str],
    policy: str = "",
) -> Selection:
    """Choose one patient's volumes and masks.

    Parameters
    ----------
    numbers : sequence of int
        Numbers of the patient's volumes that are not left out.
    volumes, proposals : mapping of int
        By number.
    ties : sequence of Tie
        Of all masks.
    phases : sequence of str
        Phases that are wanted.
    policy : str
        One of `STUDY_POLICIES`.

    Notes
    -----
    Only a phase that is sure is used. Of several studies, the one that alone has most of the wanted phases is taken.
    Of the reconstructions of one acquisition, those with a mask come first, then the ones that cover most, then the
    finest slices. Two acquisitions of one phase are not chosen between.
    """
    selection = Selection()
    masked = {tie.volume for tie in ties if tie.volume is not None and set(tie.mask.parts) & set(ORGANS)}
    study, reason = _study(numbers, volumes, proposals, phases, policy)
    for number in numbers:
        proposal = proposals[number]
        if study is not None and volumes[number].study != study:
            selection.uses[number] = "not used: another study of the patient was taken"
        elif proposal.phase == UNSURE:
            likely = f"likeliest {proposal.likeliest}, {proposal.confidence:.0%}"
            selection.uses[number] = f"not used: phase unsure ({likely})"
        elif proposal.phase not in phases:
            selection.uses[number] = f"not used: {proposal.phase}"
    for phase in phases:
        if study is None:
            selection.empty[phase] = reason
            continue
        candidates = [
            number for number in numbers if volumes[number].study == study and proposals[number].phase == phase
        ]
        _choose_phase(selection, phase, candidates, volumes, masked)
    for number in numbers:
        selection.uses.setdefault(number, f"not used: {reason}")
    for phase, organ in itertools.product(selection.volumes, ORGANS):
        _choose_mask(selection, f"{organ}_mask_{phase}", organ, selection.volumes[phase], ties)
    return selection


def _study(
    numbers: Sequence[int],
    volumes: Mapping[int, Volume],
    proposals: Mapping[int, PhaseProposal],
    phases: Collection[str],
    policy: str,
) -> tuple[str | None, str]:
    """Study that is taken; else None, and why none is."""
    found: dict[str, set[str]] = defaultdict(set)
    for number in numbers:
        found[volumes[number].study] |= {proposals[number].phase} & set(phases)
    most = max((len(have) for have in found.values()), default=0)
    if not most:
        return None, "no volume of a sure phase"
    best = [study for study, have in found.items() if len(have) == most]
    if len(best) > 1 and policy:
        days = {volumes[number].study: volumes[number].day for number in numbers if volumes[number].study in best}
        if all(days.values()) and len(set(days.values())) == len(days):
            ordered = sorted(best, key=lambda study: days[study])
            best = ordered[:1] if policy == "first" else ordered[-1:]
    if len(best) > 1:
        whole = "all" if most == len(phases) else f"{most} of {len(phases)}"
        hint = "their dates do not decide" if policy else "--study first or last decides"
        return None, f"{len(best)} studies have {whole} phases; {hint}"
    return best[0], ""


def _choose_phase(
    selection: Selection,
    phase: str,
    candidates: Sequence[int],
    volumes: Mapping[int, Volume],
    masked: Collection[int | None],
) -> None:
    if not candidates:
        selection.empty[phase] = f"no volume is surely {phase}"
        return
    if not _one_acquisition([volumes[number] for number in candidates]):
        selection.empty[phase] = f"{len(candidates)} volumes of several acquisitions are {phase}"
        selection.uses |= {number: f"not used: one of {len(candidates)} that may be {phase}" for number in candidates}
        return
    longest = max(_extent(volumes[number]) for number in candidates)
    ranked = sorted(
        candidates,
        key=lambda number: (
            number not in masked,
            _extent(volumes[number]) < _SAME_EXTENT * longest,
            _step(volumes[number]),
            number,
        ),
    )
    selection.volumes[phase] = ranked[0]
    others = f", of {len(ranked)} reconstructions" if len(ranked) > 1 else ""
    selection.uses[ranked[0]] = f"used as {phase}{others}"
    selection.uses |= {number: f"not used: another reconstruction is {phase}" for number in ranked[1:]}


def _one_acquisition(volumes: Sequence[Volume]) -> bool:
    """Whether volumes are reconstructions of one acquisition, by time, or by number where there is none."""
    if len(volumes) < 2:
        return True
    seconds = [volume.second for volume in volumes if volume.second is not None]
    if len(seconds) == len(volumes):
        return max(seconds) - min(seconds) <= _SAME_S
    numbers = {volume.acquisition for volume in volumes}
    return not seconds and len(numbers) == 1 and None not in numbers


def _extent(volume: Volume) -> float:
    return volume.extent_mm if len(volume.along) > 1 else 0.0


def _step(volume: Volume) -> float:
    return volume.step_mm if len(volume.along) > 1 else float("inf")


def _choose_mask(selection: Selection, column: str, organ: str, volume: int, ties: Sequence[Tie]) -> None:
    found = [tie for tie in ties if tie.volume == volume and organ in tie.mask.parts]
    parts = [(tie, part) for tie in found for part in tie.mask.parts[organ]]
    if len(parts) > 1:
        selection.empty[column] = f"{len(parts)} masks of the {organ} belong to this volume"
    elif parts:
        selection.masks[column], selection.parts[column] = parts[0]
