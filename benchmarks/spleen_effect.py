"""Does aMAP-CT with the spleen beat aMAP-CT without it where the spleen knows something, and only there?

    python benchmarks/spleen_effect.py FOLDER [--seeds 5]

For each seed, the demo's aMAP-CT patients are simulated twice, with the demo's spleen effect and with none, segmented
by their true masks, and both models are fitted on the training cohort and compared in all unseen patients.
FOLDER takes the images and features, some 300 MB a seed; a second call goes on where the first one stopped.
Writes ``benchmarks/spleen_effect.json``, which aMAP-CT's supplement shows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hccbook import evaluation, phantom
from hccbook.models import AmapCtModel
from hccbook.pipeline import files
from hccbook.pipeline.cohort import make_cohort
from hccbook.pipeline.features import extract_deep, extract_radiomics
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.segmentation import segment_cohort
from hccbook.run import RunPaths, benchmark_file, profile_file
from hccbook.settings import Profile, load_profile

ORGANS = {"with_spleen": ("liver", "spleen"), "without_spleen": ("liver",)}
WORKERS = 2


def compared(profile: Profile, run: RunPaths) -> dict[str, object]:
    """Both models' AUC in unseen patients of one simulated cohort, their difference, and the truth."""
    phases = tuple(profile.run.phases.split(","))
    masks = profile.segmentation.model_copy(update={"mask_source": "manifest"})
    make_cohort(run, "amap_ct", profile.cohort, phases, WORKERS)
    preprocess_cohort(run, "amap_ct", profile.preprocessing, phases, WORKERS)
    segment_cohort(run, "amap_ct", masks, None, phases, WORKERS)
    extract_radiomics(run, "amap_ct", profile.features, phases, WORKERS)
    extract_deep(run, "amap_ct", profile.features, phases)
    clinical, features = files.model_table(run, "amap_ct")
    training = clinical["role"] == "development"
    settings = profile.amap_ct
    scores, chosen = {}, {}
    for name, organs in ORGANS.items():
        model = AmapCtModel(organs, settings.lasso_folds, settings.lambda_rule, settings.seed)
        model.fit(features[training], clinical.loc[training, "hcc"])
        scores[name] = model.scores(features)["amap_ct"]
        chosen[name] = list(model.image_score_.names)
    outcome = clinical.loc[~training, "hcc"]
    test = evaluation.delong_test(outcome, *(score[~training] for score in scores.values()))
    truth = phantom.truth("amap_ct", profile.cohort)["auc"]["validation_and_test"]
    return {
        "seed": profile.cohort.seed,
        "spleen_effect": profile.cohort.amap_ct_spleen_effect,
        "unseen": len(outcome),
        "hcc": int(outcome.sum()),
        "truth_with_spleen": truth["liver_spleen_amap"],
        "truth_without_spleen": truth["liver_amap"],
        "auc_with_spleen": round(test.auc_a, 4),
        "auc_without_spleen": round(test.auc_b, 4),
        "difference": round(test.difference, 4),
        "lower": round(test.lower, 4),
        "upper": round(test.upper, 4),
        "p": round(test.p, 4),
        "features": len(chosen["with_spleen"]),
        "spleen_features": sum(".spleen." in name for name in chosen["with_spleen"]),
    }


def main(folder: Path, seeds: int) -> None:
    demo = load_profile(profile_file("demo"))
    rows = []
    for seed in range(demo.cohort.seed, demo.cohort.seed + seeds):
        for effect in (demo.cohort.amap_ct_spleen_effect, 0.0):
            cohort = demo.cohort.model_copy(
                update={"seed": seed, "amap_ct_spleen_effect": effect, "segmentation_patients": 0}
            )
            run = RunPaths((folder / f"{seed}-{effect:g}").resolve())
            rows.append(compared(demo.model_copy(update={"cohort": cohort}), run))
            print(json.dumps(rows[-1]), flush=True)
            content = {"profile": "demo, true masks", "rows": rows}
            benchmark_file("spleen_effect").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    main(given.folder, given.seeds)
