"""Contrast phases of a study's volumes: what times, enhancement and descriptions say, and whether that is sure.

One injection explains a study. Given when it began, how fast the blood went round and how much iodine there was, the
volumes are independent: each has its delay, the enhancement that organs have at that delay, and perhaps a word that
names its phase. The three unknowns are summed over, so that what is missing costs certainty and nothing else.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hccbook.errors import DataError

ALL_PHASES = ("precontrast", "arterial", "venous", "delayed")
"""Phases that are told apart, in the order in which they are taken; the manifest has columns for the last three."""

UNSURE = "unsure"
"""What stands in place of a phase that is not sure."""

_STEP_S = 3.0
_BEFORE_S, _AFTER_S = 700.0, 900.0  # how long before the first volume the injection may have begun, and after the last
_SESSION_S = 1500.0  # volumes further apart do not share an injection
_SAME_S = 3.0  # reconstructions of one acquisition start within that
_DOSES = np.linspace(-2.0, 2.0, 7)  # in SD of the logarithm
_TAILS = 5.0  # degrees of freedom: an odd organ (fat, a shunt, a bad mask) must not decide
_MAX_ENUMERATED = 5  # acquisitions up to which every way to give them phases is weighed
_OUT_OF_REACH_S = 1000.0  # span over which a wrong time may lie anywhere


@dataclass(frozen=True)
class Observation:
    """What is known of one volume.

    Attributes
    ----------
    second : float or None
        When its acquisition began, s, on any clock that the study shares.
    hu : mapping of str to float
        Median HU by organ of `measured_organs`; organs that were not measured are absent.
    word : str
        Phase that its description or its file's name names; empty where none.
    by_name : bool
        Whether the word is the user's own, in the name of a file or by the code of a collection, and not a scanner's.
    delay : float or None
        Seconds from the start of the injection to the acquisition, where the header says so.
    """

    second: float | None = None
    hu: Mapping[str, float] = field(default_factory=dict)
    word: str = ""
    by_name: bool = False
    delay: float | None = None


@dataclass(frozen=True)
class PhaseProposal:
    """A volume's phase, as far as it can be told.

    Attributes
    ----------
    phase : str
        One of `ALL_PHASES`, or `UNSURE`.
    likeliest : str
        The phase with the highest probability, sure or not.
    confidence : float
        Its probability, 0 to 1.
    evidence : str
        What spoke: times, organs, description; and what contradicts.
    """

    phase: str
    likeliest: str
    confidence: float
    evidence: str


@dataclass(frozen=True)
class _Model:
    """`phases.yaml` as arrays."""

    prior: np.ndarray  # (phase,)
    delays: Mapping[str, tuple[float, float]]
    unenhanced: Mapping[str, tuple[float, float]]
    seconds: np.ndarray
    enhancement: Mapping[str, np.ndarray]
    departure: Mapping[str, float]
    doses: np.ndarray
    dose_weights: np.ndarray
    stretches: np.ndarray
    stretch_weights: np.ndarray
    taken_twice: float
    word_is_right: float
    name_is_right: float
    time_is_right: float
    sure_from: float


@functools.cache
def _model() -> _Model:
    declared: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("phases.yaml").read_text(encoding="utf-8"))
    weights = np.exp(-(_DOSES**2) / 2)
    return _Model(
        prior=np.array([declared["prior"][phase] for phase in ALL_PHASES]),
        delays={phase: tuple(values) for phase, values in declared["delays_s"].items()},
        unenhanced={organ: tuple(values) for organ, values in declared["unenhanced_hu"].items()},
        seconds=np.array(declared["seconds"], float),
        enhancement={organ: np.array(values, float) for organ, values in declared["enhancement_hu"].items()},
        departure=declared["departure"],
        doses=np.exp(declared["dose_log_sd"] * _DOSES),
        dose_weights=weights / weights.sum(),
        stretches=np.array(list(declared["stretch"]), float),
        stretch_weights=np.array(list(declared["stretch"].values()), float),
        taken_twice=declared["taken_twice"],
        word_is_right=declared["word_is_right"],
        name_is_right=declared["name_is_right"],
        time_is_right=declared["time_is_right"],
        sure_from=declared["sure_from"],
    )


def measured_organs() -> tuple[str, ...]:
    """Organs whose enhancement tells the phase."""
    return tuple(_model().enhancement)


def sure_from() -> float:
    """Probability from which a phase is sure."""
    return _model().sure_from


def propose_phases(observations: Sequence[Observation]) -> list[PhaseProposal]:
    """Phases of the volumes of one study.

    Parameters
    ----------
    observations : sequence of Observation
        One a volume, in any order; reconstructions of one acquisition have one time.

    Returns
    -------
    list of PhaseProposal
        In the same order.

    Raises
    ------
    DataError
        If an organ or a word is none that is known, or a value is not finite.

    Notes
    -----
    Volumes with a time that stand more than 25 minutes apart are taken for those of different injections.
    A phase is `UNSURE` where its probability is below that of ``phases.yaml``, where nothing is known of the volume, or
    where its own description names another phase.

    References
    ----------
    ``phases.yaml`` beside this module, with the source of each number.
    """
    for observation in observations:
        _check(observation)
    proposals: list[PhaseProposal | None] = [None] * len(observations)
    for session in _sessions(observations):
        trusted = _times_tell([observations[index] for index in session])
        groups = _acquisitions(observations, session) if trusted else [[index] for index in session]
        items = [_merged([observations[index] for index in group]) for group in groups]
        timed = [number for number, item in enumerate(items) if trusted and item.second is not None]
        for number, (group, posterior) in enumerate(zip(groups, _posteriors(items, timed), strict=True)):
            by_time = number in timed and len(timed) > 1
            for index in group:
                proposals[index] = _proposal(observations[index], items[number], posterior, by_time, trusted)
    return [proposal for proposal in proposals if proposal is not None]


def _acquisitions(observations: Sequence[Observation], session: Sequence[int]) -> list[list[int]]:
    """Numbers of the volumes by acquisition: reconstructions of one have one time."""
    groups: list[list[int]] = []
    for index in sorted(session, key=lambda index: (observations[index].second is None, observations[index].second)):
        second = observations[index].second
        first = observations[groups[-1][0]].second if groups else None
        if second is not None and first is not None and second - first <= _SAME_S:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _merged(items: Sequence[Observation]) -> Observation:
    """What the reconstructions of one acquisition say together."""
    hu = {
        organ: float(np.mean([item.hu[organ] for item in items if organ in item.hu]))
        for organ in measured_organs()
        if any(organ in item.hu for item in items)
    }
    words = {item.word for item in items if item.word}
    delays = [item.delay for item in items if item.delay is not None]
    by_name = any(item.by_name for item in items)
    word = words.pop() if len(words) == 1 else ""
    return Observation(items[0].second, hu, word, by_name, delays[0] if delays else None)


def _check(observation: Observation) -> None:
    known = measured_organs()
    unknown = [organ for organ in observation.hu if organ not in known]
    if unknown:
        raise DataError("organ", f"must be one of {', '.join(known)}", unknown[0], "Leave it out.")
    if observation.word and observation.word not in ALL_PHASES:
        raise DataError("phase", f"must be one of {', '.join(ALL_PHASES)}", repr(observation.word), "Correct it.")
    if not all(np.isfinite(value) for value in observation.hu.values()):
        raise DataError("HU", "must be finite", "NaN or infinite", "Leave the organ out.")


def _sessions(observations: Sequence[Observation]) -> list[list[int]]:
    """Numbers of the volumes that may share an injection; those without a time join the first such group."""
    timed = sorted(
        (index for index, item in enumerate(observations) if item.second is not None),
        key=lambda index: observations[index].second or 0.0,
    )
    sessions: list[list[int]] = []
    for before, index in zip([None, *timed], timed, strict=False):
        if before is None or (observations[index].second or 0) - (observations[before].second or 0) > _SESSION_S:
            sessions.append([])
        sessions[-1].append(index)
    untimed = [index for index, item in enumerate(observations) if item.second is None]
    if untimed and len(sessions) <= 1:
        sessions = [[*itertools.chain.from_iterable(sessions), *untimed]]
    elif untimed:  # to which of several injections they belong is not known
        sessions += [[index] for index in untimed]
    return sessions


def _times_tell(items: Sequence[Observation]) -> bool:
    """Whether acquisition times can be right: volumes of one moment must look alike.

    Anonymisers set all times alike, and some archives copy the study's time into every series.
    """
    timed = [item for item in items if item.second is not None]
    for position, first in enumerate(timed):
        for second in timed[position + 1 :]:
            if abs((first.second or 0) - (second.second or 0)) > _SAME_S:
                continue
            if first.word and second.word and first.word != second.word:
                return False
            shared = set(first.hu) & set(second.hu) & {"aorta", "portal_vein", "liver", "spleen"}
            if any(abs(first.hu[organ] - second.hu[organ]) > _same_hu(organ) for organ in shared):
                return False
    return True


def _same_hu(organ: str) -> float:
    """HU by which two reconstructions of one acquisition may differ in an organ: kernel and mask, not contrast."""
    return 25.0 if organ in ("aorta", "portal_vein") else 12.0


# --- likelihoods ------------------------------------------------------------------------------------------------------


def _posteriors(items: Sequence[Observation], timed: Sequence[int]) -> list[np.ndarray]:
    """Probability of every phase, an array an acquisition; `timed` are the numbers of those whose time counts."""
    model = _model()
    starts = _possible_starts([items[index].second or 0.0 for index in timed])
    # (start, stretch, dose, phase); where the time does not count, the start does not either.
    likelihoods = []
    for index, item in enumerate(items):
        log = _log_timed(item, (item.second or 0.0) - starts) if index in timed else _log_untimed(item)[None]
        likelihoods.append(np.exp(log - log.max()))
    hidden = model.stretch_weights[None, :, None] * model.dose_weights[None, None, :]
    if len(items) <= _MAX_ENUMERATED:
        counts = np.zeros((len(items), len(ALL_PHASES)))
        _enumerate(likelihoods, hidden, (), counts)
    else:
        totals = [likelihood.sum(axis=-1) for likelihood in likelihoods]
        together = hidden * functools.reduce(np.multiply, totals)
        shares = [likelihood / total[..., None] for likelihood, total in zip(likelihoods, totals, strict=True)]
        counts = np.array([(together[..., None] * share).sum(axis=(0, 1, 2)) for share in shares])
    return list(counts / counts.sum(axis=1, keepdims=True))


def _enumerate(
    likelihoods: Sequence[np.ndarray], product: np.ndarray, phases: tuple[int, ...], counts: np.ndarray
) -> None:
    """Add the evidence of every way to give phases to the acquisitions, one after the other, to `counts`."""
    number = len(phases)
    if number == len(likelihoods):
        counts[np.arange(number), phases] += product.sum()
        return
    for phase in range(len(ALL_PHASES)):
        # Protocols seldom take a phase twice.
        again = _model().taken_twice if phase in phases else 1.0
        _enumerate(likelihoods, product * likelihoods[number][..., phase] * again, (*phases, phase), counts)


def _possible_starts(seconds: Sequence[float]) -> np.ndarray:
    if not seconds:
        return np.zeros(1)
    return np.arange(min(seconds) - _BEFORE_S, max(seconds) + _AFTER_S, _STEP_S)


@functools.cache
def _delay_grid() -> np.ndarray:
    return np.arange(-_AFTER_S, _BEFORE_S, 2 * _STEP_S)


def _log_delay(delays: np.ndarray) -> np.ndarray:
    """Log density (1/s) of delays (s) in each phase; shape (delay, phase)."""
    model = _model()
    logs = np.full((len(delays), len(ALL_PHASES)), -np.inf)
    for column, phase in enumerate(ALL_PHASES):
        centre, spread = model.delays[phase]
        if phase in ("arterial", "venous"):
            logs[:, column] = _log_normal(delays, centre, spread)
            continue
        waited = -delays if phase == "precontrast" else delays
        sensible = waited > 0
        times = waited[sensible]
        logs[sensible, column] = _log_normal(np.log(times), np.log(centre), spread) - np.log(times)
    return logs


def _log_normal(values: np.ndarray, centre: float, spread: float) -> np.ndarray:
    return -(((values - centre) / spread) ** 2) / 2 - np.log(spread * np.sqrt(2 * np.pi))


def _log_hu(hu: Mapping[str, float], delays: np.ndarray) -> np.ndarray:
    """Log likelihood of the organs' HU; shape (delay, stretch, dose)."""
    model = _model()
    log = np.zeros((len(delays), len(model.stretches), len(model.doses)))
    effective = delays[:, None] / model.stretches[None, :]
    for organ, value in hu.items():
        centre, spread = model.unenhanced[organ]
        risen = np.interp(effective, model.seconds, model.enhancement[organ])[..., None] * model.doses
        sd = np.sqrt(spread**2 + (model.departure[organ] * risen) ** 2)
        log -= np.log(sd) + (_TAILS + 1) / 2 * np.log1p(((value - centre - risen) / sd) ** 2 / _TAILS)
    return log


def _log_word(item: Observation) -> np.ndarray:
    model = _model()
    log = np.log(model.prior)
    if item.word:
        is_right = model.name_is_right if item.by_name else model.word_is_right
        right = np.array([phase == item.word for phase in ALL_PHASES])
        log = log + np.log(np.where(right, is_right, (1 - is_right) / (len(ALL_PHASES) - 1)))
    return log


def _log_untimed(item: Observation) -> np.ndarray:
    """As `_log_timed`, of a volume whose time says nothing; shape (stretch, dose, phase)."""
    delays = _delay_grid()
    density = _log_delay(delays) + np.log(2 * _STEP_S)
    if item.delay is not None:
        density = density + _log_normal(delays, item.delay, 10.0)[:, None]
    joint = _log_hu(item.hu, delays)[..., None] + density[:, None, None, :]
    return np.logaddexp.reduce(joint, axis=0) + _log_word(item)


def _log_timed(item: Observation, delays: np.ndarray) -> np.ndarray:
    """Log likelihood of a volume by delay, stretch, dose and phase; a wrong time may lie anywhere."""
    model = _model()
    told = _log_hu(item.hu, delays)[..., None] + _log_delay(delays)[:, None, None, :] + _log_word(item)
    if item.delay is not None:
        told = told + _log_normal(delays, item.delay, 10.0)[:, None, None, None]
    anywhere = _log_untimed(item) - np.log(_OUT_OF_REACH_S)
    return np.logaddexp(np.log(model.time_is_right) + told, np.log(1 - model.time_is_right) + anywhere[None])


def _proposal(
    own: Observation, merged: Observation, posterior: np.ndarray, by_time: bool, trusted: bool
) -> PhaseProposal:
    best = int(np.argmax(posterior))
    likeliest, confidence = ALL_PHASES[best], float(posterior[best])
    evidence = []
    if own.word:
        evidence.append(f"{'name of the file' if own.by_name else 'description'} says {own.word}")
    if by_time:
        evidence.append("times of the study's acquisitions")
    elif own.second is not None and not trusted:
        evidence.append("times contradict the images and were not used")
    if merged.delay is not None:
        evidence.append(f"header says {merged.delay:.0f} s after the injection")
    if merged.hu:
        evidence.append(", ".join(f"{organ.replace('_', ' ')} {value:.0f} HU" for organ, value in merged.hu.items()))
    contradicted = bool(own.word) and own.word != likeliest
    if contradicted:
        evidence.append(f"the rest speaks for {likeliest}")
    sure = bool(evidence) and not contradicted and confidence >= _model().sure_from
    return PhaseProposal(likeliest if sure else UNSURE, likeliest, confidence, "; ".join(evidence) or "nothing")
