"""Regions ─▶ id map ─▶ outlines."""
