"""Exceptions of the package.

Every message has the same four parts: where, the rule, the value found, and the hint.
"""

from __future__ import annotations


class HccbookError(Exception):
    """An input or state that breaks a rule of this package.

    Parameters
    ----------
    place : str
        The file, patient, column or setting in which the value was found.
    rule : str
        What must hold there.
    found : object
        The value that broke the rule.
    hint : str
        What the user can do about it.
    """

    def __init__(self, place: str, rule: str, found: object, hint: str) -> None:
        self.place = str(place)
        self.rule = rule
        self.found = found
        self.hint = hint
        super().__init__(f"{place}: {rule}, but found {found}. {hint}")

    def __reduce__(self):
        # Worker processes send exceptions back by pickling their arguments.
        return type(self), (self.place, self.rule, self.found, self.hint)


class SettingsError(HccbookError):
    """A profile or a setting that is unknown, of the wrong type or out of range."""


class ManifestError(HccbookError):
    """A manifest that breaks its schema."""


class ImageError(HccbookError):
    """An image that cannot be read, or is not what the manifest says."""


class MaskError(HccbookError):
    """A mask that does not fit its image."""


class ModelError(HccbookError):
    """A model that cannot be fitted, saved or loaded as asked."""


class DataError(HccbookError):
    """Values handed to a statistic that it refuses."""
