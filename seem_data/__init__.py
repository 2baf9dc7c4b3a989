"""Polygons, colour maps and painted masks in; panoptic, semantic, instance and grounding data out."""

__version__ = "0.1.0"
