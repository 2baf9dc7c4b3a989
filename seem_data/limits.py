"""Bounds: on what a file may ask for, so that one picture cannot take all memory; on what SEEM can find."""

from __future__ import annotations

from seem_data.problems import fault

#: Megapixels of a photo or mask, unless ``--max-megapixels`` says otherwise.
DEFAULT_MEGAPIXELS = 100.0
#: The most that can be asked for: above it Pillow itself refuses.
MOST_MEGAPIXELS = 178.0
#: Segments that SEEM can find in one image: the queries of its decoder, in all published models.
QUERIES = 100


def check_pixels(width: int, height: int, megapixels: float, file: str) -> None:
    """
    Raises:
        DataError: the picture has more than so many megapixels.
    """
    if width * height > megapixels * 1e6:
        message = f"has {width}×{height} pixels, which is more than {megapixels:g} megapixels."
        remedy = f"Downscale it, or raise --max-megapixels (up to {MOST_MEGAPIXELS:g})."
        raise fault("image-too-large", message, remedy, file)
