"""Typeset tables and drawn figures; nothing here computes a statistic."""
