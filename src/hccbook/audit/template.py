"""A folder to fill in with a paper, and the schema of its description."""

from __future__ import annotations

import json
from pathlib import Path

from hccbook.audit.description import FILE, Description
from hccbook.errors import DataError

NUMBERS = "numbers.csv"

_DESCRIPTION = """\
# What the paper is; book/audit_format.md says what every field means. Remove what the paper has not.
name: {name}
title: {name}
citation: ""
outcome: {{name: HCC, events: events}}
model: My model
cohorts: [training, test]
pooled: {{all: [training, test]}}
groupings:
  - {{name: outcome, groups: [non-HCC, HCC]}}
models: []
cutoffs: []
sizes:
  - {{row: Patients, quantity: count}}
events:
  - {{place: Table 1, row: Patients, subgroup: HCC}}
compares:
  Table 1: [non-HCC, HCC]
relations: []
"""

_NUMBERS = """\
place,row,column,quantity,value,unit,cohort,subgroup,lower,upper
Table 1,Patients,Training,count,200,,training,,,
Table 1,Patients,"Training, non-HCC",count,180,,training,non-HCC,,
Table 1,Patients,"Training, HCC",count,20,,training,HCC,,
Table 1,Male,"Training, non-HCC",count,120,,training,non-HCC,,
Table 1,Male,"Training, non-HCC",percentage,66.7,%,training,non-HCC,,
Table 1,Male,"Training, HCC",count,15,,training,HCC,,
Table 1,Male,"Training, HCC",percentage,75.0,%,training,HCC,,
Table 1,"Age, years","Training, non-HCC",median,50.1,years,training,non-HCC,43.0,57.2
Table 1,"Age, years","Training, HCC",median,58.0,years,training,HCC,51.3,64.0
Table 2,Training,Sensitivity,sensitivity,0.850,,training,,0.640,0.948
Table 2,Training,Specificity,specificity,0.800,,training,,0.736,0.852
Table 2,Training,AUC,auc,0.870,,training,,0.780,0.960
"Results, sentence 1",Patients,,count,200,,training,,,
"""


def write_template(folder: Path) -> list[Path]:
    """Write a description and a table to fill in; they describe a paper of two tables that agree.

    Parameters
    ----------
    folder : Path
        Made if absent; nothing in it is overwritten.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    DataError
        If one of them is there already.
    """
    texts = {FILE: _DESCRIPTION.format(name=_name(folder)), NUMBERS: _NUMBERS}
    for name in texts:
        if (folder / name).exists():
            raise DataError(str(folder / name), "must not be there yet", "a file", "Choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _name(folder: Path) -> str:
    """Name of a folder as a description may hold it."""
    return "".join(letter if letter.isalnum() else "_" for letter in folder.resolve().name.lower()) or "paper"


def schema() -> str:
    """JSON Schema of ``paper.yaml``."""
    return json.dumps(Description.model_json_schema(), indent=2, ensure_ascii=False)
