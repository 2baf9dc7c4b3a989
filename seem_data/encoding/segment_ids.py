"""Ids and colours of segments, as panopticapi means them. The one module that imports panopticapi."""

from __future__ import annotations

from seem_data.categories import Categories
from seem_data.common.colors import Color
from seem_data.problems import fault

try:
    from panopticapi.utils import IdGenerator
except ImportError as error:
    message = f"panopticapi is missing ({error})."
    remedy = "Install it with: pip install --no-deps panopticapi-lite"
    raise fault("no-panopticapi", message, remedy) from None

_REACH = 30  #: how far an instance's channels may lie from its category's colour
_SPAN = 2 * _REACH + 1
_STRIDE = 140_291  #: coprime with _SPAN³ and near its golden section: successive colours differ clearly


class SegmentIds(IdGenerator):
    """panopticapi's `IdGenerator` for one image, without its faults.

    As there, stuff has its category's colour, the first instance of a thing too, and later instances have
    colours near it. Unlike there, the colours are drawn in a fixed order (the same image gives the same
    bytes, whoever builds it), black and all category colours are reserved, and the search always ends.
    """

    def __init__(self, categories: Categories) -> None:
        self.categories = categories.by_id
        self.taken_colors: set[Color] = {(0, 0, 0), *categories.by_color}
        self._tried: dict[int, int] = {}  #: category id ─▶ how many colours beside its own were tried

    def get_color(self, cat_id: int) -> Color:
        """The colour of the next segment of a category; stuff has one segment an image.

        `get_id` and `get_id_and_color` are panopticapi's.
        """
        category = self.categories[cat_id]
        tried = self._tried.setdefault(cat_id, -1) + 1
        if tried and not category.isthing:
            raise ValueError(f"{category.name!r} is stuff and has a second segment: merge them first")
        color = category.color
        if tried:
            while (color := _neighbour(category.color, tried)) in self.taken_colors:
                tried += 1
            self.taken_colors.add(color)
        self._tried[cat_id] = tried
        return color


def _neighbour(color: Color, number: int) -> Color:
    """The number-th colour to try: each one within reach once, then every colour there is."""
    near = _SPAN**3
    if number <= near:
        step = number * _STRIDE % near
        offsets = (step // _SPAN**2, step // _SPAN % _SPAN, step % _SPAN)
        red, green, blue = (
            min(max(base + offset - _REACH, 0), 255) for base, offset in zip(color, offsets, strict=True)
        )
    else:
        red, green, blue = (number - near).to_bytes(3, "little")
    return red, green, blue
