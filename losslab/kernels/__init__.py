"""The streamed route: row statistics of the logits and their gradient, tile by tile."""
