"""Ask roc-validator about a crate, without a network: run by the Python of an environment that has it.

It takes the context of RO-Crate 1.1, which it would fetch, from the package rocrate (0.10 is the last that holds it).
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from rocrate_validator import services
from rocrate_validator.utils.http import HttpRequester

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def answer(self: HttpRequester, url: str, **options: object) -> SimpleNamespace:
    """Give the one document that is at hand; anything else is a page that cannot be had."""
    if url != CONTEXT:
        return SimpleNamespace(status_code=504, headers={}, text="")
    # Without importing the package, whose dependencies nobody needs here.
    package = Path(importlib.util.find_spec("rocrate").origin).parent
    text = (package / "data" / "ro-crate.jsonld").read_text(encoding="utf-8")
    document = json.loads(text)
    assert document["@id"] == CONTEXT, f"rocrate holds the context {document['@id']}"
    headers = {"Content-Type": "application/ld+json"}
    return SimpleNamespace(status_code=200, headers=headers, text=text, json=lambda: document)


def issues(crate: Path, cache: Path, *, files: bool) -> dict[str, object]:
    """What the validator says of a crate, REQUIRED and RECOMMENDED; without its `files`, of its description alone."""
    settings = {"profile_identifier": "provenance-run-crate", "requirement_severity": "RECOMMENDED", "offline": True}
    settings["cache_path"] = cache / "http"
    if files:
        result = services.validate(settings | {"rocrate_uri": crate})
    else:
        description = json.loads((crate / "ro-crate-metadata.json").read_text(encoding="utf-8"))
        result = services.validate_metadata_as_dict(description, settings | {"rocrate_uri": None})
    found = [[issue.check.identifier, issue.message, str(issue.violatingEntity)] for issue in result.get_issues()]
    return {"checked": len(result.executed_checks), "issues": found}


def main() -> None:
    """Print as JSON what there is to say of the crate in the folder that is named."""
    HttpRequester.get = answer
    with tempfile.TemporaryDirectory() as cache:
        found = {
            name: issues(Path(sys.argv[1]), Path(cache), files=name == "folder") for name in ("folder", "description")
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
