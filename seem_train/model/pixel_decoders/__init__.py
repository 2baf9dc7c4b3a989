"""From the levels of a trunk to mask features."""
