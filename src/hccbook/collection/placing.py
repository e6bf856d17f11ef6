"""Where a volume of a collection lies so that a run can read it: its own folder, or a folder of links to its slices.

A run reads a folder that holds one series and nothing else. Where slices share theirs with other series, or one series
holds two volumes, links stand in for a copy; what lies in a zip file is unpacked.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from hccbook.collection.tree import Source
from hccbook.collection.volumes import Volume
from hccbook.images.nifti import NIFTI_ENDINGS
from hccbook.images.series import possible_dicom
from hccbook.store import atomic_folder, atomic_path


def place_files(sources: Iterable[Source], folder: Path) -> dict[Source, Path]:
    """Where single files lie on the disk; those of zip files are unpacked below `folder`."""
    return {source: source.path if not source.member else _unpacked(source, folder) for source in sources}


def _unpacked(source: Source, folder: Path) -> Path:
    # A member's name is the archive's; it must not lead out of the folder.
    parts = [re.sub(r"[^\w.#+ -]", "_", part) for part in PurePosixPath(source.member).parts]
    target = folder.joinpath(source.path.stem, *[part for part in parts if part.strip(". ")])
    if not target.is_file():
        with atomic_path(target) as part:
            part.write_bytes(source.read())
    return target


def place_volume(volume: Volume, folder: Path, unpacked: Path) -> Path:
    """Path under which a run reads a volume.

    Parameters
    ----------
    volume : Volume
    folder : pathlib.Path
        Folder for links to its slices, made anew where they are needed.
    unpacked : pathlib.Path
        Folder for what lies in zip files.

    Returns
    -------
    pathlib.Path
        The NIfTI file, or the DICOM file of several frames; the folder of the archive, where the volume is alone in
        it; else `folder`.
    """
    first = volume.files[0]
    if volume.header is None:
        return place_files([first], unpacked)[first]
    if volume.header.frames > 1 and not first.member:
        return first.path
    if not first.member and _is_alone(volume):
        return first.path.parent
    shutil.rmtree(folder, ignore_errors=True)
    with atomic_folder(folder) as part:
        for number, source in enumerate(volume.files, start=1):
            _put(source, part / f"{number:04d}.dcm", folder)
    return folder


def _is_alone(volume: Volume) -> bool:
    folders = Counter(source.path.parent for source in volume.files)
    if len(folders) != 1:
        return False
    own = {source.path for source in volume.files}
    return set(possible_dicom(next(iter(folders)))) == own


def _put(source: Source, target: Path, final: Path) -> None:
    """A link to a slice from the folder `final`, or a copy of it."""
    if source.member:
        target.write_bytes(source.read())
        return
    try:
        target.symlink_to(os.path.relpath(source.path, final.resolve()))
    except OSError:  # a file system without links
        shutil.copyfile(source.path, target)


def relative_to(path: Path, folder: Path) -> str:
    """Path as a manifest in `folder` names it."""
    return Path(os.path.relpath(path, folder)).as_posix()


def stem_of(path: Path) -> str:
    """Name of a file without its ending, ``.nii.gz`` taken as one."""
    for ending in NIFTI_ENDINGS[::-1]:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem
