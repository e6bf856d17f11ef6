"""A run described as a Workflow Run RO-Crate: what went in, every stage, what came out, and what it came from.

The description is a file in the run's folder, which makes that folder the crate. Files that lie in a stage's folder are
named one by one, with their sums and the files that they follow from; what a stage holds by patient, such as images, is
named by folder, and its sums are in the stage's own record, whose sum the crate has.

References
----------
Provenance Run Crate 0.5, https://w3id.org/ro/wfrun/provenance/0.5.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import importlib.metadata
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import yaml

from hccbook.errors import DataError
from hccbook.papers import published
from hccbook.pipeline.files import save_json, save_table, source_cases
from hccbook.pipeline.lineage import read_lineage
from hccbook.pipeline.run_record import METADATA, describe_run, executed_notebooks, settings_of
from hccbook.pipeline.staleness import FILE_SETTINGS, outputs_file, recorded_outputs
from hccbook.provenance import digest, is_there
from hccbook.run import (
    CHAPTER_READS,
    CHAPTERS,
    NULL_RUN,
    RESULT_CHAPTERS,
    STAGES,
    RunPaths,
    notebook_name,
    project_root,
)
from hccbook.settings import Profile
from hccbook.store import atomic_path, write_if_changed

CRATE = "ro-crate-metadata.json"
"""File that makes a folder a crate."""

INPUTS = "inputs.csv"
"""Table of a user's own inputs, with a keyed hash each."""

SETTINGS = "workflow/settings.yaml"
"""Settings of the run, as a profile."""

README = "README.md"
"""What the folder is, for whoever is given it."""

_README = """\
# Run {run} of hccbook

This folder is a [Workflow Run RO-Crate](https://w3id.org/ro/wfrun/provenance/0.5).
`ro-crate-metadata.json` says what went in, which notebooks were executed, with which settings and versions, and what
each file follows from.

    hccbook verify FOLDER

names the files that are not what the run left, and the tables and figures that follow from them.
"""
_KEY = "inputs.key"
_WORKFLOW = ("Snakefile", "CITATION.cff")
_CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"},
]
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_FORMATS = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".png": "image/png",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".ipynb": "application/x-ipynb+json",
    ".yaml": "application/yaml",
    ".cff": "application/yaml",
    ".parquet": "application/vnd.apache.parquet",
    ".html": "text/html",
    ".md": "text/markdown",
    ".safetensors": "application/octet-stream",
}
_ENGINE = "https://snakemake.github.io/"
_PUBLIC_FILES = set(FILE_SETTINGS) - {"predictions"}  # which are patients' masks
_COMPLETED = "http://schema.org/CompletedActionStatus"

Entity = dict[str, Any]


def write_crate(run: RunPaths) -> Path:
    """Describe what was executed in a run's folder.

    Parameters
    ----------
    run : RunPaths
        A run, its negative control, or an archived run that was unpacked to be shown.

    Returns
    -------
    pathlib.Path
        `CRATE` in the run's folder.

    Raises
    ------
    DataError
        If nothing was executed there.
    """
    executed = executed_notebooks(run)
    if not executed:
        raise DataError(run.root.name, "must be the folder of a run", "no executed notebook", "Run it: hccbook run.")
    archived = run.archive_manifest.is_file()
    settings = describe_run(run).settings if archived else settings_of(executed)
    for name in _WORKFLOW:
        write_if_changed(run.root / "workflow" / name, (project_root() / name).read_bytes())
    write_if_changed(run.root / README, _README.format(run=run.root.name))
    write_if_changed(run.root / SETTINGS, yaml.safe_dump(settings, sort_keys=False))
    if run.manifest is not None and "cohort" in executed:
        save_table(
            keyed_inputs(run, Profile.checked(f"settings of the run {run.root.name}", settings)), run.root / INPUTS
        )
    description = _Description(run, executed, settings)
    save_json({"@context": _CONTEXT, "@graph": list(description.entities())}, run.root / CRATE)
    return run.root / CRATE


# --- inputs -----------------------------------------------------------------------------------------------------------


def keyed_inputs(run: RunPaths, profile: Profile) -> pd.DataFrame:
    """What a user's run was made from: manifest, images and masks.

    A plain hash would tell whoever has a patient's image that this patient is among the run's. These are keyed with a
    secret that lies in the store, beside the run's folder and not in it.

    Returns
    -------
    pandas.DataFrame
        Columns patient (key; empty for what is all patients'), input (``manifest``, ``predictions`` of another program,
        or a path column of the manifest), hmac_sha256.
    """
    key = _key(run)
    rows = [("", "manifest", run.manifest)]
    if profile.segmentation.predictions:
        rows.append(("", "predictions", project_root() / profile.segmentation.predictions))
    for case in source_cases(run, "cohort", profile.run.phases.split(","), profile.segmentation.masks).values():
        rows += [(case.key, column, Path(path.partition("#")[0])) for column, path in sorted(case.sources.items())]
    table = pd.DataFrame(rows, columns=["patient", "input", "path"])
    hashes = [
        hmac.new(key, digest(path, content=run.store.content).encode(), hashlib.sha256).hexdigest()
        for path in table.pop("path")
    ]
    return table.assign(hmac_sha256=hashes)


def _key(run: RunPaths) -> bytes:
    file = run.store.root / _KEY
    if not file.is_file():
        with atomic_path(file) as part:
            part.write_text(secrets.token_hex(32), encoding="ascii")
        file.chmod(0o600)
    return file.read_text(encoding="ascii").encode()


# --- what the crate says ----------------------------------------------------------------------------------------------


def stages_read(stage: str) -> tuple[str, ...]:
    """Stages whose files a stage or chapter may read, itself left out."""
    if stage in CHAPTERS:
        last = CHAPTER_READS.get(stage, ())
        return tuple(dict.fromkeys(name for read in last for name in (*stages_read(read), read)))
    siblings = ("alarm",) if stage == "amap_ct" else ()
    return tuple(name for name in STAGES[: STAGES.index(stage)] if name not in siblings)


@dataclass(frozen=True)
class _Description:
    """Entities of the crate of a run."""

    run: RunPaths
    executed: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Mapping[str, Any]]

    @cached_property
    def outputs(self) -> dict[str, dict[str, str]]:
        """Files that each stage left, with their sums; those of a stage of which only the files are there as well."""
        found = {stage: recorded_outputs(stage, self.run) for stage in dict.fromkeys((*STAGES, NULL_RUN, *CHAPTERS))}
        if self.run.archive_manifest.is_file():
            for name in describe_run(self.run).files:
                stage, file = name.partition("/")[0], self.run.root / name.removesuffix(".gz")
                if stage not in RESULT_CHAPTERS and file.is_file():
                    found[stage][file.relative_to(self.run.root).as_posix()] = self.run.store.content(file)
        return {stage: files for stage, files in found.items() if files}

    @cached_property
    def lineage(self) -> dict[str, list[str]]:
        """Files that each traced file follows from."""
        traced = (read_lineage(self.run, stage) or {} for stage in self.executed)
        return {file: sources for part in traced for file, sources in part.items()}

    @cached_property
    def items(self) -> list[published.Item]:
        """Published items that this run has made."""
        listed = [item for item in published.items() if not item.is_planned]
        return [item for item in listed if any(item.data in files for files in self.outputs.values())]

    @cached_property
    def named(self) -> dict[str, str]:
        """Files that the crate names one by one, with their sums."""
        every = {name: known for files in self.outputs.values() for name, known in files.items()}
        named = {name: known for name, known in every.items() if len(PurePosixPath(name).parts) == 2}
        extra = [f"workflow/{name}" for name in _WORKFLOW] + [SETTINGS, INPUTS, "manifest.json"]
        extra.append(README)
        extra += [outputs_file(stage, self.run).relative_to(self.run.root).as_posix() for stage in self.outputs]
        present = [name for name in extra if (self.run.root / name).is_file()]
        return named | {name: self.run.store.content(self.run.root / name) for name in present}

    def entities(self) -> Iterator[Entity]:
        """All entities, the description's own first."""
        steps = list(self._steps())
        yield {
            "@id": CRATE,
            "@type": "CreativeWork",
            "about": _link("./"),
            "conformsTo": [_link("https://w3id.org/ro/crate/1.1"), _link(_WORKFLOW_CRATE)],
        }
        yield self._root()
        yield from self._contextual()
        yield from self._workflow()
        yield from steps
        yield from self._runs()
        yield from self._files()
        yield from self._parameters()

    def _root(self) -> Entity:
        synthetic = self.settings.get("run", {}).get("synthetic", True)
        patients = "simulated patients" if synthetic else "a user's own patients"
        actions = [_run_id(stage) for stage in self.executed]
        folders = [stage for stage in self.outputs if (self.run.root / stage).is_dir()]
        return {
            "@id": "./",
            "@type": "Dataset",
            "name": f"Run {self.run.root.name} of hccbook",
            "description": f"Tables, figures and models of ALARM and aMAP-CT, made from {patients}.",
            "datePublished": self._day,
            "license": _link("https://spdx.org/licenses/BSD-3-Clause" if synthetic else "#terms"),
            "author": _link("#developers"),
            "publisher": _link("#developers"),
            "conformsTo": _links(_PROFILES),
            "mainEntity": _link("workflow/Snakefile"),
            "hasPart": [*_links(self.named), *(_link(f"{name}/") for name in folders)],
            "mentions": _links(["#run", *actions, *(f"#{item.id}" for item in self.items)]),
        }

    def _contextual(self) -> Iterator[Entity]:
        for name, (title, version) in _PROFILES.items():
            yield {"@id": name, "@type": "CreativeWork", "name": title, "version": version}
        yield {
            "@id": "#developers",
            "@type": "Organization",
            "name": "hccbook developers",
            "url": "workflow/CITATION.cff",
        }
        yield {"@id": "#operator", "@type": "Person", "name": "Whoever started the run, whose name is not recorded"}
        license_text = "Redistribution and use in source and binary forms, with or without modification, are permitted."
        if self.settings.get("run", {}).get("synthetic", True):
            yield {
                "@id": "https://spdx.org/licenses/BSD-3-Clause",
                "@type": "CreativeWork",
                "name": "BSD-3-Clause",
                "description": license_text,
            }
        else:
            words = (
                "The tables follow from the user's own patients: whoever answers for their data says who may use them."
            )
            yield {"@id": "#terms", "@type": "CreativeWork", "name": "Terms of the data's owner", "description": words}

    def _workflow(self) -> Iterator[Entity]:
        version = importlib.metadata.version("snakemake")
        made_by = [_tool_id(stage) for stage in self.executed]
        yield {
            "@id": "workflow/Snakefile",
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "Stages of hccbook",
            "url": "workflow/Snakefile",
            "version": self._made(list(self.executed)[-1])["versions"].get("hccbook", "not recorded"),
            "programmingLanguage": _link("#snakemake-language"),
            "conformsTo": _link("https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"),
            "hasPart": _links(made_by),
            "step": _links([_step_id(stage) for stage in self.executed]),
            "input": _links([f"#setting-{name}" for name, _ in self._values()] + ["#settings"]),
            "output": _links([f"#{item.id}" for item in self.items]),
            **self._of_file("workflow/Snakefile", "text/x-python"),
        }
        yield {
            "@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE",
            "@type": "CreativeWork",
            "name": "ComputationalWorkflow",
            "version": "1.0",
        }
        yield {"@id": "#snakemake-language", "@type": "ComputerLanguage", "name": "Snakemake", "url": _ENGINE}
        engine = {"@id": _ENGINE, "@type": "SoftwareApplication", "name": "Snakemake"}
        yield engine | {"url": _ENGINE, "softwareVersion": version}

    def _steps(self) -> Iterator[Entity]:
        """The notebooks as tools, what they ran with, and their places in the workflow."""
        versions: dict[str, Entity] = {}
        for position, stage in enumerate(self.executed, start=1):
            made, name = self._made(stage), notebook_name(stage)
            own = [_property(f"#{key}-{value}", key, value) for key, value in made["versions"].items()]
            own.append(_property(f"#processor-{made['processor']}", "processor", made["processor"]))
            own.append(_property(f"#code-{stage}", "hash of the code that the notebook runs", made["code"]))
            versions |= {entity["@id"]: entity for entity in own}
            yield {
                "@id": _tool_id(stage),
                "@type": "SoftwareApplication",
                "name": f"notebook {name}",
                "url": f"notebooks/{name}.ipynb",
                "softwareVersion": made["versions"].get("hccbook", "not recorded"),
                "softwareRequirements": _links(entity["@id"] for entity in own),
            }
            yield {
                "@id": _step_id(stage),
                "@type": "HowToStep",
                "position": str(position),
                "name": stage,
                "workExample": _link(_tool_id(stage)),
            }
        yield from versions.values()

    def _runs(self) -> Iterator[Entity]:
        """What was executed: each notebook, under whose control, and the whole."""
        times = {stage: self._times(stage) for stage in self.executed}
        for stage, (start, end) in times.items():
            read = [f"{name}/" for name in stages_read(stage) if name in self.outputs]
            left = [name for name in self.outputs.get(stage, ()) if name in self.named]
            folder = [f"{stage}/"] if (self.run.root / stage).is_dir() and stage in self.outputs else []
            yield {
                "@id": _run_id(stage),
                "@type": "CreateAction",
                "name": f"Execution of {notebook_name(stage)}",
                "description": f"papermill executed it with the settings of the run; it left {len(left)} named files.",
                "instrument": _link(_tool_id(stage)),
                "object": _links([SETTINGS, *self._inputs_of(stage), *read]),
                "result": _links([*folder, *left]),
                **_executed(start, end),
            }
            yield {
                "@id": f"#control-{stage}",
                "@type": "ControlAction",
                "name": f"Snakemake's rule for {stage}",
                "instrument": _link(_step_id(stage)),
                "object": _link(_run_id(stage)),
                "actionStatus": _COMPLETED,
            }
        start, end = min(start for start, _ in times.values()), max(end for _, end in times.values())
        made = [name for item in self.items for name in (item.data, item.figure) if name in self.named]
        executed = [self.run.executed_notebook(stage).relative_to(self.run.root).as_posix() for stage in self.executed]
        weights = list(self._weights())
        yield from weights
        settings = [f"#value-{name}" for name, _ in self._values()] + [entity["@id"] for entity in weights]
        yield {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"Run {self.run.root.name}",
            "description": f"{len(times)} notebooks, in the order that the workflow asks for.",
            "instrument": _link("workflow/Snakefile"),
            "object": _links([SETTINGS, *self._inputs_of("cohort"), *settings]),
            "result": _links(dict.fromkeys([*executed, *made])),
            **_executed(start, end),
        }
        yield {
            "@id": "#snakemake-run",
            "@type": "OrganizeAction",
            "name": "Snakemake's run",
            "instrument": _link(_ENGINE),
            "object": _links(f"#control-{stage}" for stage in times),
            "result": _link("#run"),
            "agent": _link("#operator"),
            **{name: value for name, value in _executed(start, end).items() if name != "agent"},
        }

    def _files(self) -> Iterator[Entity]:
        by_file = {name: item for item in self.items for name in (item.data, item.figure) if name}
        for name in self.named:
            if name == "workflow/Snakefile":
                continue
            item, sources = by_file.get(name), [one for one in self.lineage.get(name, ()) if one in self.named]
            entity = {"@id": name, "@type": "File", "name": name, **self._of_file(name)}
            if item is not None:
                entity |= {"name": f"{item.paper}, {item.label}: {item.title}", "exampleOfWork": _link(f"#{item.id}")}
            elif name == README:
                entity["about"] = _link("./")
            elif name == SETTINGS:
                entity["exampleOfWork"] = _link("#settings")
            elif name == INPUTS:
                entity["description"] = (
                    "Hashes of the manifest, images and masks, keyed with a secret that is not here."
                )
            yield entity | ({"isBasedOn": _links(sources)} if sources else {})
        for stage, files in self.outputs.items():
            if (self.run.root / stage).is_dir():
                words = f"{len(files)} files, with their sums in notebooks/{stage}.files.json"
                yield {"@id": f"{stage}/", "@type": "Dataset", "name": f"Files of {stage}", "description": words}

    def _parameters(self) -> Iterator[Entity]:
        """What the workflow takes and gives: every setting with its value, every item with its files."""
        yield {
            "@id": "#settings",
            "@type": "FormalParameter",
            "name": "settings",
            "additionalType": "File",
            "workExample": _link(SETTINGS),
        }
        for name, value in self._values():
            yield {
                "@id": f"#setting-{name}",
                "@type": "FormalParameter",
                "name": name,
                "additionalType": "Text",
                "workExample": _link(f"#value-{name}"),
            }
            yield _property(f"#value-{name}", name, value) | {"exampleOfWork": _link(f"#setting-{name}")}
        for item in self.items:
            files = [name for name in (item.data, item.figure) if name in self.named]
            yield {
                "@id": f"#{item.id}",
                "@type": "FormalParameter",
                "name": f"{item.paper}, {item.label}",
                "description": item.title,
                "additionalType": "File",
                "workExample": _links(files),
            }

    def _values(self) -> list[tuple[str, str]]:
        return [
            (f"{section}.{name}", value if isinstance(value, str) else json.dumps(value))
            for section, values in self.settings.items()
            for name, value in values.items()
        ]

    def _weights(self) -> Iterator[Entity]:
        """Files that settings name, by their hashes; one that is elsewhere now is not known any more."""
        for stage, values in self.settings.items():
            for name, value in values.items():
                file = project_root() / str(value)
                if name in _PUBLIC_FILES and value and is_there(file):
                    known = digest(file, content=self.run.store.content)
                    yield _property(f"#content-{stage}.{name}", f"hash of what {stage}.{name} names", known)

    def _inputs_of(self, stage: str) -> list[str]:
        inputs = [INPUTS] if stage == "cohort" else ["manifest.json"] if stage in RESULT_CHAPTERS else []
        return [name for name in inputs if name in self.named]

    def _of_file(self, name: str, kind: str = "") -> Entity:
        return {
            "sha256": self.named[name],
            "sdDatePublished": self._day,
            "contentSize": str((self.run.root / name).stat().st_size),
            "encodingFormat": kind or _FORMATS.get(PurePosixPath(name).suffix, "text/plain"),
        }

    @cached_property
    def _day(self) -> str:
        """Day on which the last notebook was through."""
        return max(self._times(stage)[1] for stage in self.executed)[:10]

    def _made(self, stage: str) -> dict[str, Any]:
        """Versions, code and processor of an execution; one of before they were recorded says so."""
        return {"versions": {}, "code": "not recorded", "processor": "not recorded"} | dict(
            self.executed[stage].get(METADATA, {})
        )

    def _times(self, stage: str) -> tuple[str, str]:
        """When a notebook was begun and ended, to the second, in UTC."""
        noted = self.executed[stage].get("papermill", {})
        written = datetime.datetime.fromtimestamp(self.run.executed_notebook(stage).stat().st_mtime, datetime.UTC)
        start, end = (noted.get(name) or written.isoformat() for name in ("start_time", "end_time"))
        return _second(start), _second(end)


def _second(time: str) -> str:
    return datetime.datetime.fromisoformat(time).astimezone(datetime.UTC).isoformat(timespec="seconds")


def _executed(start: str, end: str) -> Entity:
    return {"startTime": start, "endTime": end, "agent": _link("#operator"), "actionStatus": _COMPLETED}


def _property(name: str, what: str, value: str) -> Entity:
    return {"@id": name.replace(" ", "_"), "@type": "PropertyValue", "name": what, "value": value}


def _link(name: str) -> Entity:
    return {"@id": name}


def _links(names: Iterable[str]) -> Entity | Sequence[Entity]:
    links = [_link(name) for name in names]
    return links[0] if len(links) == 1 else links


def _tool_id(stage: str) -> str:
    return f"#notebook-{notebook_name(stage)}"


def _step_id(stage: str) -> str:
    return f"#step-{notebook_name(stage)}"


def _run_id(stage: str) -> str:
    return f"#run-{notebook_name(stage)}"
