"""A collection of CT as an archive wrote it: its files, volumes, phases and masks, and the manifest that follows."""
