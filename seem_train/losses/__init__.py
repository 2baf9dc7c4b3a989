"""Losses of SEEM: matching, masks, labels, grounding and spatial prompts. Knows no model class."""
