"""All shapes of the world: importing it fills the table."""

from examples.world.shapes import household, living, made, symbols
from examples.world.shapes.outlines import HOLE, SHAPES, Part, Points

__all__ = ["HOLE", "SHAPES", "Part", "Points", "household", "living", "made", "symbols"]
