"""Drawing ─▶ panoptic PNG and segments, with panopticapi's ids and colours.

A segment's id is the colour of its pixels, ``id = R + 256·G + 256²·B``, as `panopticapi.utils.rgb2id` has it;
0 is void.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from seem_data.categories import Categories
from seem_data.drawing.raster import Drawing
from seem_data.layout import Segment, png


@dataclass(frozen=True, eq=False)
class PanopticImage:
    """One image as COCO panoptic holds it.

    Attributes:
        ids: [K + 1] the segment id of each value of the drawing's index map; ``ids[0]`` is 0, void.
        segments: in the order of the drawing's; areas and boxes are those of the pixels.
        drawing: what it was made of: ``drawing.segments[k]`` is ``segments[k]``.
    """

    ids: NDArray[np.int32]
    segments: list[Segment]
    drawing: Drawing

    @cached_property
    def changes(self) -> png.Changes:
        """What the PNGs of this image are made of."""
        return png.Changes.of(self.drawing.stretches)

    def png(self) -> bytes:
        """The PNG file."""
        colors = np.asarray(self.ids, "<i4").view(np.uint8).reshape(-1, 4)[:, :3]
        return png.encode_changes(self.changes, colors)


def encode(drawing: Drawing, categories: Categories) -> PanopticImage:
    """Give every segment its id and colour. The same drawing gives the same bytes, always.

    Raises:
        DataError: panopticapi is not installed; the message shows how to install it.
    """
    from seem_data.encoding.segment_ids import SegmentIds  # panopticapi: needed to write, not to read

    ids = SegmentIds(categories)
    segments = [
        Segment(
            int(ids.get_id(drawn.category.id)), drawn.category.id, drawn.area, drawn.bbox, int(drawn.iscrowd)
        )
        for drawn in drawing.segments
    ]
    return PanopticImage(np.array([0, *(segment.id for segment in segments)], np.int32), segments, drawing)
