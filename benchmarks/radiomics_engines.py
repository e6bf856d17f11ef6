"""Radiomics programs that a user could install, each behind the same few lines; run by `benchmarks/radiomics.py`.

One process is one program on one organ: it loads, extracts once, says so, and extracts again as often as each line that
it reads says.
It runs with the Python of the program's own environment, so nothing but the standard library is imported before that
program is.

Each function takes an `Organ` and returns what extracts: each call gives the values of the unfiltered image by the
program's own names. Programs are set as their documentation says, to what comes nearest to PyRadiomics: bins of a fixed
width that start where PyRadiomics' start, three dimensions, features averaged over the 13 directions, one thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

Extraction = Callable[[], dict]


class Organ(NamedTuple):
    """Image and mask (files, NIfTI), bin width and lower edge of the first bin in HU, and how to extract."""

    image: str
    mask: str
    bin_width: float
    first_edge: float
    threads: int = 1
    filtered: bool = False


FILTERED = ("original", "wavelet", "square", "squareroot", "logarithm", "exponential")
"""ALARM's images, for the two programs that are compared on them."""

WINDOW_HU = (-60, 140)
"""What the image is clipped to before any program sees it."""

MEMORY_GIB = 8
"""What a program may allocate."""

FAMILIES = ("glcm", "glrlm", "glszm", "ngtdm", "ngldm")
"""Texture families that PyRadiomics has too, in the standard's words."""


def fast(organ: Organ) -> Extraction:
    from hccbook.features.radiomics import ExtractionSettings, extract_features, find_engine

    find_engine("fast")
    image, mask = _read(organ)
    types = FILTERED if organ.filtered else ("original",)
    settings = ExtractionSettings(image_types=types, bin_width=organ.bin_width)
    return lambda: extract_features(image, mask, settings, "fast", threads=organ.threads).to_dict()


def pyradiomics(organ: Organ) -> Extraction:
    import logging

    import numpy as np
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    np.seterr(all="ignore")
    extractor = featureextractor.RadiomicsFeatureExtractor(binWidth=organ.bin_width, additionalInfo=False)
    extractor.disableAllImageTypes()
    names = ("Original", "Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential")
    extractor.enableImageTypes(**{name: {} for name in (names if organ.filtered else names[:1])})
    image, mask = _read(organ)
    return lambda: dict(extractor.execute(image, mask))


def flash_radiomics(organ: Organ) -> Extraction:
    from flash_radiomics import RadiomicsFeatureExtractor

    extractor = RadiomicsFeatureExtractor(backend="cpu", binWidth=organ.bin_width, distances=[1])
    image, mask = _read(organ)
    # It writes every extraction to a file, which has to go somewhere.
    file = str(Path(tempfile.mkdtemp()) / "extraction.h5")
    return lambda: dict(extractor.execute(image, mask, label=1, output_hdf5_path=file))


def fastrad(organ: Organ) -> Extraction:
    import torch
    from fastrad import FeatureExtractor, FeatureSettings, Mask, MedicalImage

    torch.set_num_threads(organ.threads)
    image, mask, spacing = _arrays(organ)
    extractor = FeatureExtractor(FeatureSettings(bin_width=organ.bin_width, device="cpu"))
    tensors = (torch.from_numpy(array).float() for array in (image, mask.astype("uint8")))
    medical, region = (kind(tensor, spacing) for kind, tensor in zip((MedicalImage, Mask), tensors, strict=True))
    return lambda: extractor.extract(medical, region)


def numpyradiomics(organ: Organ) -> Extraction:
    import numpyradiomics as program

    image, mask, spacing = _arrays(organ)
    voxel_mm3 = spacing[0] * spacing[1] * spacing[2]

    def extract() -> dict:
        shape = program.shape(mask, spacing, extend=False)
        first = program.firstorder(image, mask, voxel_mm3, binWidth=organ.bin_width, extend=False)
        found = {f"shape_{name}": value for name, value in shape.items()}
        found |= {f"firstorder_{name}": value for name, value in first.items()}
        return found | program.texture(image, mask, binWidth=organ.bin_width)

    return extract


def mirp(organ: Organ) -> Extraction:
    from mirp import extract_features

    # No modality: as a CT, intensities would be rounded to whole HU.
    settings = {
        "base_discretisation_method": "fixed_bin_size_pyradiomics",
        "base_discretisation_bin_width": organ.bin_width,
        "ibsi_compliant": False,
        "base_feature_families": ["morphological", "statistical", "intensity_histogram", *FAMILIES],
        "glcm_spatial_method": "3d_average",
        "glrlm_spatial_method": "3d_average",
    }
    return lambda: extract_features(image=organ.image, mask=organ.mask, **settings)[0].iloc[0].to_dict()


def nyxus(organ: Organ) -> Extraction:
    import nyxus as program

    # It takes a number of bins between the least and the greatest intensity, and no width.
    levels = int((WINDOW_HU[1] - organ.first_edge) // organ.bin_width) + 1
    extractor = program.Nyxus3D(["*3D_ALL*"], n_feature_calc_threads=organ.threads, coarse_gray_depth=levels)
    for family in ("3glcm", "3gldm", "3glrlm", "3ngtdm"):
        extractor.set_metaparam(f"{family}/greydepth={levels}")
    return lambda: extractor.featurize_files([organ.image], [organ.mask], False).iloc[0].to_dict()


def pictologics(organ: Organ) -> Extraction:
    from pictologics import RadiomicsPipeline, load_image

    pipeline = RadiomicsPipeline()
    bins = {"method": "FBS", "bin_width": organ.bin_width, "min_val": organ.first_edge}
    features = {
        "families": ["intensity", "morphology", "texture", "histogram"],
        "include_spatial_intensity": False,
        "include_local_intensity": False,
    }
    steps = [{"step": "discretise", "params": bins}, {"step": "extract_features", "params": features}]
    pipeline.add_config("benchmark", steps)
    image, mask = load_image(organ.image), load_image(organ.mask)
    return lambda: pipeline.run(image=image, mask=mask, config_names=["benchmark"])["benchmark"].to_dict()


def pysera(organ: Organ) -> Extraction:
    import pysera as program

    standard = {
        "radiomics_DataType": "CT",
        "radiomics_DiscType": "FBS",
        "radiomics_isQuntzStat": 0,
        "radiomics_isReSegRng": 1,
        "radiomics_ReSegIntrvl01": organ.first_edge,
        "radiomics_ReSegIntrvl02": WINDOW_HU[1],
    }
    settings = {
        "output_path": tempfile.mkdtemp(),
        "num_workers": str(organ.threads),
        "enable_parallelism": False,
        "categories": ",".join(("morph", "stat", "ih", *FAMILIES)),
        "dimensions": "1st,3d",
        "bin_size": int(organ.bin_width),
        "roi_num": 1,
        "report": "none",
        "IBSI_based_parameters": standard,
    }

    def extract() -> dict:
        found = program.process_batch(image_input=organ.image, mask_input=organ.mask, **settings)
        return found["features_extracted"].iloc[0].to_dict()

    return extract


def z_rad(organ: Organ) -> Extraction:
    from zrad.image import Image
    from zrad.preprocessing import IntensityMaskBuilder, Resegmenter, RoiData, TextureDiscretizer
    from zrad.radiomics import Radiomics

    image = Image.from_nifti(organ.image)
    mask = Image.from_nifti_mask(organ.mask, reference=image)
    steps = (
        IntensityMaskBuilder(),
        Resegmenter(intensity_range=(organ.first_edge, WINDOW_HU[1])),
        TextureDiscretizer(bin_size=organ.bin_width),
    )
    families = ["morphology", "intensity_statistics", "intensity_histogram", *FAMILIES]

    def extract() -> dict:
        prepared = RoiData(image=image, morphological_mask=mask)
        for step in steps:
            prepared = step.apply(prepared)
        return Radiomics(aggr_dim="3D", aggr_method="AVER").extract_features(prepared, families=families)

    return extract


class Program(NamedTuple):
    """How one program is installed and called.

    Attributes
    ----------
    load : callable
        One of the functions above.
    packages : tuple of str
        What pip installs, the program first; empty for what the environment of this project has already.
    python : str
        Version that it needs.
    reads_files : bool
        Whether each call reads image and mask from disk.
    compiles : bool
        Whether it compiles its loops when it first runs on a machine, and keeps them.
    filters : str
        Filtered images that it offers besides the original one, as its documentation lists them.
    """

    load: Callable[[Organ], Extraction]
    packages: tuple[str, ...] = ()
    python: str = "3.11"
    reads_files: bool = False
    compiles: bool = False
    filters: str = ""


_PYRADIOMICS_FILTERS = "wavelet, LoG, square, square root, logarithm, exponential, gradient"

PROGRAMS = {
    "fast": Program(fast, compiles=True, filters=_PYRADIOMICS_FILTERS),
    "PyRadiomics": Program(pyradiomics, filters=f"{_PYRADIOMICS_FILTERS}, local binary patterns"),
    "pictologics": Program(pictologics, ("pictologics==0.9.0",), python="3.12", compiles=True, filters="IBSI 2"),
    "flash-radiomics": Program(
        flash_radiomics,
        (
            *("flash-radiomics==1.0.0", "numpy", "h5py", "SimpleITK", "pykwalify", "PyWavelets", "scipy"),
            *("scikit-image", "scikit-learn", "trimesh"),
        ),
        filters="those of PyRadiomics, and IBSI 2",
    ),
    "fastrad": Program(fastrad, ("fastrad==1.0.0", "SimpleITK"), filters="none"),
    "numpyradiomics": Program(numpyradiomics, ("numpyradiomics==0.0.5", "SimpleITK"), filters="none documented"),
    "MIRP": Program(mirp, ("mirp==2.7.0",), reads_files=True, filters="IBSI 2, and those of PyRadiomics"),
    "Nyxus": Program(nyxus, ("nyxus==0.11.0",), reads_files=True, filters="none in 3-D"),
    "PySERA": Program(pysera, ("pysera==2.1.5",), reads_files=True, filters="none"),
    "z-rad": Program(z_rad, ("z-rad==26.9.0",), filters="IBSI 2"),
}
"""Programs by printed name; the first two are this project's engine and the one that it reproduces."""


def _read(organ: Organ) -> tuple:
    import SimpleITK as sitk

    return tuple(sitk.ReadImage(file) for file in (organ.image, organ.mask))


def _arrays(organ: Organ) -> tuple:
    import SimpleITK as sitk

    image, mask = _read(organ)
    return sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask), image.GetSpacing()[::-1]


def _peak_mib() -> float:
    """Largest resident memory of this process; getrusage would count that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def _numbers(values: dict) -> dict[str, float]:
    """What a program returned that is a number."""
    numbers = {}
    for name, value in values.items():
        with contextlib.suppress(TypeError, ValueError):
            numbers[str(name)] = float(value)
    return numbers


def main() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_GIB * 2**30,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]), resource.RLIM_INFINITY))
    # Some programs print while they work; what this process has to say goes where standard output was.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, fields = sys.argv[1], json.loads(sys.argv[2])
    extract = PROGRAMS[name].load(Organ(**fields))
    loaded, wall = time.process_time(), time.perf_counter()
    values = _numbers(extract())
    first = {"wall_first": time.perf_counter() - wall, "cpu_first": time.process_time() - loaded}
    first |= {"cpu_loading": loaded, "peak_mib": _peak_mib()}
    print(json.dumps(first | {"values": values}), file=answers, flush=True)
    for order in sys.stdin:
        calls = int(order)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            extract()
        answer = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        answer = {name: seconds / calls for name, seconds in answer.items()}
        print(json.dumps(answer | {"peak_mib": _peak_mib()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
