"""Stages in order, and what runs them.

Notebooks import `stages`, `files`, `items` and `pictures`; `runner` executes notebooks.
Nothing is imported here, so that a notebook loads only what it needs.
"""
