"""The family of losses: one file, one loss, and the file's name is its name."""
