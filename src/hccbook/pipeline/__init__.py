"""A module a stage, what they share, and what executes the notebooks (`runner`).

Nothing is imported here, so that a notebook loads only what it needs.
"""
