"""How often the proposed contrast phase is right, on studies whose circulation and protocol are simulated.

The circulation is a chain of mixed compartments with exchange into tissue, after Bae, Heiken and Brink, Radiology
1998;207:647. It knows nothing of `hccbook.collection`, whose numbers are print, and the draws that judge have other
parameters than those on which anything was tried. What is simulated is not clinical: it says what the proposals do with
slow hearts, missing times and wrong words, and not what they do with patients.

    .venv/bin/python benchmarks/contrast_phases.py            # JUDGEMENT, 2,000 studies, writes contrast_phases.json
    .venv/bin/python benchmarks/contrast_phases.py development
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hccbook.collection.phases import ALL_PHASES, UNSURE, Observation, propose_phases, sure_from

STUDIES = 2000
ORGANS = ("aorta", "portal_vein", "liver", "spleen", "kidney")
HU_PER_MG = 25.0  # of iodine per mL at 120 kVp: Bae 1998
STEP_S = 0.5
END_S = 700.0


@dataclass(frozen=True)
class Draws:
    """What studies are drawn from; ranges are uniform, pairs of mean and SD normal.

    Attributes
    ----------
    seed : int
    output : tuple of float
        Cardiac output, L/min: mean and SD of a normal, held to 2 to 11.
    dose : tuple of float
        Range of iodine, mg per kg.
    injection : tuple of float
        Range of the injection's length, s.
    tracked : float
        Share of studies with bolus tracking.
    delayed : tuple of float
        Range of the delayed phase, s.
    worded, wrong_word : float
        Share of studies whose descriptions name phases, and of those words that are wrong.
    no_time, copied_time, moved_time : float
        Shares of studies without times, with one time for all, and with one time rewritten.
    masks : tuple of float
        Shares of studies with all organs, with liver and spleen, without portal vein, and with none.
    bad_mask : float
        Share of organs whose mask is beside the organ.
    """

    seed: int
    output: tuple[float, float]
    dose: tuple[float, float]
    injection: tuple[float, float]
    tracked: float
    delayed: tuple[float, float]
    worded: float
    wrong_word: float
    no_time: float
    copied_time: float
    moved_time: float
    masks: tuple[float, float, float, float]
    bad_mask: float


DEVELOPMENT = Draws(
    seed=11,
    output=(6.0, 1.2),
    dose=(450.0, 650.0),
    injection=(25.0, 35.0),
    tracked=0.6,
    delayed=(150.0, 240.0),
    worded=0.5,
    wrong_word=0.01,
    no_time=0.08,
    copied_time=0.03,
    moved_time=0.02,
    masks=(0.55, 0.2, 0.1, 0.15),
    bad_mask=0.02,
)
JUDGEMENT = Draws(
    seed=20261128,
    output=(5.6, 1.6),
    dose=(400.0, 700.0),
    injection=(20.0, 40.0),
    tracked=0.7,
    delayed=(120.0, 310.0),
    worded=0.45,
    wrong_word=0.015,
    no_time=0.07,
    copied_time=0.04,
    moved_time=0.02,
    masks=(0.5, 0.25, 0.1, 0.15),
    bad_mask=0.03,
)


@dataclass(frozen=True)
class Study:
    """A simulated study: its volumes as the proposals see them, and the truth.

    Attributes
    ----------
    observations : list of Observation
    truth : list of str
    masks : {"all", "liver and spleen", "no portal vein", "none"}
    times : {"right", "none", "copied", "one moved"}
    worded : bool
    """

    observations: list[Observation]
    truth: list[str]
    masks: str
    times: str
    worded: bool


# --- circulation ------------------------------------------------------------------------------------------------------


def enhancement(
    output: np.ndarray, weight: np.ndarray, iodine_mg: np.ndarray, injection_s: np.ndarray, kidney: np.ndarray
) -> dict[str, np.ndarray]:
    """Enhancement (HU) of organs over time, every `STEP_S` from the start of the injection.

    Parameters
    ----------
    output, weight, iodine_mg, injection_s, kidney : ndarray of shape (patient,)
        Cardiac output, L/min; body weight, kg; iodine, mg; length of the injection, s; filtration as a share of normal.

    Returns
    -------
    dict of str to ndarray of shape (time, patient)
    """
    flow = output * 1000 / 60  # mL/s
    size = weight / 70
    # mL of blood; a vessel is several mixed parts, so that a bolus arrives late and not at once.
    parts = [("arm", 100.0), ("right", 200.0), ("lung1", 150.0), ("lung2", 150.0), ("lung3", 150.0), ("left", 200.0)]
    chain = {name: volume * size for name, volume in [*parts, ("aorta1", 80.0), ("aorta2", 80.0)]}
    # Share of the output, mL of blood, mL of tissue fluid, exchange between them (1/s of blood volume).
    beds = {
        "head": (0.15, 150.0, 60.0, 0.01),
        "kidney": (0.21, 75.0, 75.0, 0.15),
        "spleen": (0.05, 55.0, 45.0, 0.03),
        "gut": (0.16, 250.0, 1800.0, 0.07),
        "body": (0.37, 1000.0, 9000.0, 0.045),
    }
    artery_share = 0.06
    blood = {name: np.zeros_like(flow) for name in (*chain, *beds, "portal", "liver", "veins")}
    fluid = {name: np.zeros_like(flow) for name in (*beds, "liver")}
    filtered = np.zeros_like(flow)
    curves: dict[str, list[np.ndarray]] = {organ: [] for organ in ORGANS}
    for second in np.arange(0.0, END_S, STEP_S):
        level = {name: blood[name] / volume for name, volume in chain.items()}
        aorta = level["aorta2"]
        curves["aorta"].append(HU_PER_MG * aorta)
        curves["portal_vein"].append(HU_PER_MG * blood["portal"] / (90.0 * size))
        curves["liver"].append(HU_PER_MG * (blood["liver"] + fluid["liver"]) / (1500.0 * size))
        curves["spleen"].append(HU_PER_MG * (blood["spleen"] + fluid["spleen"]) / (180.0 * size))
        curves["kidney"].append(HU_PER_MG * (blood["kidney"] + fluid["kidney"] + 0.5 * filtered) / (300.0 * size))
        change = {name: np.zeros_like(flow) for name in blood}
        injected = np.where(second < injection_s, iodine_mg / injection_s, 0.0)
        # The arm's vein carries a twentieth of the return, and what is injected pushes it on.
        arm_flow = 0.05 * flow + np.where(second < injection_s, 4.0, 0.0)
        change["arm"] += injected - level["arm"] * arm_flow
        change["right"] += level["arm"] * arm_flow + blood["veins"] / (1400.0 * size) * flow * 0.95
        change["veins"] -= blood["veins"] / (1400.0 * size) * flow * 0.95
        names = list(chain)[1:]
        for here, following in itertools.pairwise(names):
            change[here] -= level[here] * flow
            change[following] += level[here] * flow
        change["aorta2"] -= aorta * flow
        for name, (share, volume, space, rate) in beds.items():
            inside = blood[name] / (volume * size)
            exchanged = rate * volume * size * (inside - fluid[name] / (space * size))
            change[name] += share * flow * (aorta - inside) - exchanged
            fluid[name] = fluid[name] + exchanged * STEP_S
            change["portal" if name in ("spleen", "gut") else "veins"] += share * flow * inside
        portal, liver = blood["portal"] / (90.0 * size), blood["liver"] / (360.0 * size)
        exchanged = 0.08 * 360.0 * size * (liver - fluid["liver"] / (300.0 * size))
        change["portal"] -= 0.21 * flow * portal
        change["liver"] += 0.21 * flow * portal + artery_share * flow * aorta - 0.27 * flow * liver - exchanged
        change["veins"] += 0.27 * flow * liver
        fluid["liver"] = fluid["liver"] + exchanged * STEP_S
        lost = kidney * 3.0 * size * blood["kidney"] / (75.0 * size)
        change["kidney"] -= lost
        filtered = filtered + (lost - filtered / 150.0) * STEP_S
        for name in blood:
            blood[name] = np.maximum(blood[name] + change[name] * STEP_S, 0.0)
    return {organ: np.array(values) for organ, values in curves.items()}


# --- studies ----------------------------------------------------------------------------------------------------------


def simulate(draws: Draws, studies: int) -> list[Study]:
    """Studies of as many patients."""
    rng = np.random.default_rng(draws.seed)
    output = np.clip(rng.normal(*draws.output, studies), 2.0, 11.0)
    weight = np.clip(rng.normal(72, 15, studies), 40, 130)
    iodine = weight * rng.uniform(*draws.dose, studies)
    injection = rng.uniform(*draws.injection, studies)
    kidney = np.clip(rng.normal(0.85, 0.3, studies), 0.1, 1.3)
    curves = enhancement(output, weight, iodine, injection, kidney)
    return [
        _study(draws, rng, {organ: curve[:, number] for organ, curve in curves.items()}) for number in range(studies)
    ]


def _protocol(draws: Draws, rng: np.random.Generator, aorta: np.ndarray) -> dict[str, list[float]]:
    """Seconds from the start of the injection at which each phase is taken."""
    trigger = float(np.argmax(aorta > 100) * STEP_S)
    tracked = rng.random() < draws.tracked and trigger > 0
    taken: dict[str, list[float]] = {}
    if rng.random() < 0.6:
        taken["precontrast"] = [-float(np.exp(rng.normal(np.log(150), 0.7))) - 20]
    if rng.random() < 0.92:
        late = trigger + rng.uniform(12, 20) if tracked else rng.uniform(30, 40)
        taken["arterial"] = [late]
        if rng.random() < 0.05:  # an early arterial phase besides
            taken["arterial"].insert(0, late - rng.uniform(10, 13))
    if rng.random() < 0.97:
        taken["venous"] = [trigger + rng.uniform(43, 57) if tracked else rng.uniform(64, 82)]
    if rng.random() < 0.75:
        taken["delayed"] = [rng.uniform(*draws.delayed)]
        if rng.random() < 0.03:  # a late delayed phase besides
            taken["delayed"].append(rng.uniform(420, 600))
    return taken or {"venous": [70.0]}


def _study(draws: Draws, rng: np.random.Generator, curves: dict[str, np.ndarray]) -> Study:
    taken = _protocol(draws, rng, curves["aorta"])
    masks = str(rng.choice(["all", "liver and spleen", "no portal vein", "none"], p=draws.masks))
    organs = {"all": ORGANS, "liver and spleen": ("liver", "spleen"), "none": ()}.get(
        masks, tuple(organ for organ in ORGANS if organ != "portal_vein")
    )
    bare = {"aorta": rng.normal(42, 5), "portal_vein": 0.0, "spleen": rng.normal(46, 5), "kidney": rng.normal(32, 4)}
    bare["portal_vein"] = bare["aorta"] + rng.normal(0, 2)
    bare["liver"] = rng.normal(57, 6) if rng.random() > 0.15 else rng.uniform(15, 50)  # fat
    own = {organ: float(np.exp(rng.normal(0, 0.1))) for organ in ORGANS}
    worded = rng.random() < draws.worded
    kind = rng.choice(
        ["none", "copied", "one moved", "right"],
        p=[
            draws.no_time,
            draws.copied_time,
            draws.moved_time,
            1 - draws.no_time - draws.copied_time - draws.moved_time,
        ],
    )
    start = rng.uniform(0, 80000)
    seconds, truth, observations = [], [], []
    for phase, times in taken.items():
        for delay in times:
            seconds.append(start + delay + rng.uniform(0, 4))  # the liver is not where the scan begins
            truth.append(phase)
    if kind == "one moved":
        seconds[int(rng.integers(len(seconds)))] += rng.uniform(600, 1400)
    for second, phase, delay in zip(seconds, truth, [d for times in taken.values() for d in times], strict=True):
        hu = {}
        for organ in organs:
            risen = 0.0 if delay < 0 else float(np.interp(delay, np.arange(len(curves[organ])) * STEP_S, curves[organ]))
            hu[organ] = bare[organ] + risen * own[organ] + rng.normal(0, 4)
            if rng.random() < draws.bad_mask:
                hu[organ] = rng.uniform(-20, 90)
        word = ""
        if worded and rng.random() < 0.9:
            word = phase if rng.random() > draws.wrong_word else str(rng.choice([p for p in ALL_PHASES if p != phase]))
        time = {"none": None, "copied": start}.get(str(kind), second)
        for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):  # reconstructions
            seen = {organ: value + rng.normal(0, 1.5) for organ, value in hu.items()}
            observations.append((Observation(time, seen, word), phase))
    order = rng.permutation(len(observations))
    times = {"none": "none", "copied": "copied", "one moved": "one moved"}.get(str(kind), "right")
    chosen = [observations[number] for number in order]
    return Study([item for item, _ in chosen], [phase for _, phase in chosen], masks, times, worded)


def judge(studies: list[Study]) -> dict[str, object]:
    """Shares of volumes that are sure, and of those that are right, over all and by what was known."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    errors: Counter[str] = Counter()
    for study in studies:
        for proposal, phase in zip(propose_phases(study.observations), study.truth, strict=True):
            groups = [("all", "all volumes"), ("phase", phase), ("masks", study.masks), ("times", study.times)]
            groups.append(("words", "named" if study.worded else "not named"))
            for group in groups:
                count = counts.setdefault(group, Counter())
                count["volumes"] += 1
                count["unsure"] += proposal.phase == UNSURE
                count["wrong"] += proposal.phase not in (UNSURE, phase)
            if proposal.phase not in (UNSURE, phase):
                errors[f"{phase} taken for {proposal.phase}"] += 1
    rows = [
        {
            "group": group,
            "value": value,
            "volumes": count["volumes"],
            "unsure": count["unsure"] / count["volumes"],
            "right_where_sure": 1 - count["wrong"] / max(1, count["volumes"] - count["unsure"]),
        }
        for (group, value), count in sorted(counts.items())
    ]
    return {"studies": len(studies), "sure_from": sure_from(), "rows": rows, "errors": dict(errors.most_common())}


def main() -> None:
    """Simulate, judge, print, and keep what JUDGEMENT gave."""
    development = sys.argv[1:] == ["development"]
    result = judge(simulate(DEVELOPMENT if development else JUDGEMENT, 400 if development else STUDIES))
    for row in result["rows"]:
        print(
            f"{row['group']:>6} {row['value']:<18} {row['volumes']:>6} volumes, "
            f"unsure {row['unsure']:.1%}, right where sure {row['right_where_sure']:.2%}"
        )
    print(result["errors"])
    if not development:
        file = Path(__file__).with_suffix(".json")
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
