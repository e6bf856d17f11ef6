"""What the network of a run, trained on simulated patients, does with a real abdominal CT.

    python benchmarks/real_ct.py NETWORK.safetensors FOLDER

FOLDER holds ``ct.nii.gz`` and the masks ``liver.nii.gz`` and ``spleen.nii.gz`` on its grid.
Writes ``benchmarks/real_ct.json``: overlap and distance of each organ, volumes, and what the mask checks say of the
network's masks and of the given ones. The segmentation chapter shows it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hccbook import images, segmentation
from hccbook.run import benchmark_file
from hccbook.segmentation.network import Segmenter

TOLERANCE_MM = 5.0


def main(network: Path, folder: Path) -> None:
    ct = images.read_image(folder / "ct.nii.gz", "real CT")
    masks = [
        images.read_mask(folder / f"{organ}.nii.gz", ct, f"real CT, {organ}", organ) for organ in ("liver", "spleen")
    ]
    given = segmentation.external_labels(*masks, ct, place="real CT")
    segmenter = Segmenter.load(network, "cpu")
    found = segmenter.predict(ct)
    apart = segmentation.organ_boundary(found, given, TOLERANCE_MM)
    overlap = segmentation.organ_dice(found, given)
    report = {
        "what": "network trained on simulated patients, on one real venous CT",
        "spacing_mm": [round(edge, 3) for edge in ct.GetSpacing()],
        "size": list(ct.GetSize()),
        "network_spacing_mm": segmenter.provenance.spacing_mm,
        "training_images": segmenter.provenance.images,
        "organs": {
            organ: {
                "dice": round(overlap[organ], 4),
                "hd95_mm": round(apart[organ].hd95_mm, 1),
                "surface_dice": round(apart[organ].surface_dice, 4),
                "volume_ml": round(images.volume_ml(found, label), 1),
                "given_volume_ml": round(images.volume_ml(given, label), 1),
            }
            for label, organ in enumerate(("liver", "spleen"), start=1)
        },
    }
    for name, labels in (("", found), ("given_", given)):
        findings = segmentation.patient_findings({"venous": ct}, {"venous": labels})
        report[f"{name}findings"] = segmentation.findings_in_words(findings)
        report[f"{name}severity"] = round(segmentation.severity(findings), 3)
    benchmark_file("real_ct").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
