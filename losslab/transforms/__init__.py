"""Logit transforms: one file, one transform, and the file's name is its name."""
