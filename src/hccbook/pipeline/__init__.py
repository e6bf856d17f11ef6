"""Stages in order, and what runs them."""

from hccbook.pipeline.runner import (
    CONTROL_STAGES,
    STAGE_FILES,
    StageError,
    execute_stage,
    notebook_parameters,
    refresh_notebook,
    run,
    run_one_stage,
    stages_of,
)

__all__ = [
    "CONTROL_STAGES",
    "STAGE_FILES",
    "StageError",
    "execute_stage",
    "notebook_parameters",
    "refresh_notebook",
    "run",
    "run_one_stage",
    "stages_of",
]
