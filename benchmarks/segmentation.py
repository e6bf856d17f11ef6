"""Time and memory of one mask, by the size of the volume.

    python benchmarks/segmentation.py NETWORK.safetensors

Each size has a process of its own, whose peak memory before and after inference is compared.
Writes ``benchmarks/segmentation.json``. The volumes are noise in a body that fills them, so that nothing can be cut
away and all of it goes through the network in windows.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from hccbook.run import benchmark_file
from hccbook.segmentation.network import Segmenter

SIZES = ((64, 96, 96), (128, 96, 96), (128, 192, 192))  # z, y, x
REPEATS = 5
THREADS = 2


def measure(network: str, shape: tuple[int, ...]) -> dict[str, object]:
    """Seconds of each repeat, and peak memory in MiB before and after."""
    torch.set_num_threads(THREADS)
    segmenter = Segmenter.load(network, "cpu")
    volume = sitk.GetImageFromArray(np.random.default_rng(1).normal(60, 30, shape).astype(np.float32))
    volume.SetSpacing([segmenter.provenance.spacing_mm] * 3)
    segmenter.predict(volume[:16, :16, :16])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        segmenter.predict(volume)
        seconds.append(round(time.perf_counter() - start, 3))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "shape_zyx": list(shape),
        "window": segmenter.provenance.patch_voxels,
        "seconds": seconds,
        "median_s": statistics.median(seconds),
        "peak_before_mib": round(before),
        "peak_added_mib": round(after - before),
    }


def main(network: str) -> None:
    rows = []
    for shape in SIZES:
        done = subprocess.run(
            [sys.executable, __file__, network, *map(str, shape)], check=True, capture_output=True, text=True
        )
        rows.append(json.loads(done.stdout))
        print(rows[-1])
    report = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": THREADS,
        "rows": rows,
    }
    benchmark_file("segmentation").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[1], tuple(map(int, sys.argv[2:])))))
    else:
        main(str(Path(sys.argv[1]).resolve()))
