"""Segments and their sentences ─▶ grounding annotations that the original SEEM's loaders read.

Those loaders take polygons only, rasterise each with pycocotools and add the masks up without clipping, and
one of them drops an object whose first polygon has fewer than four points. So an annotation holds the
disjoint parts of its segment, the largest first, each one closed line of at least four points with bridges to
its holes; decoded as they do it, it is the segment's mask in the panoptic PNG to the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import Sentence
from seem_data.outlines import trace
from seem_data.panoptic import Panoptic
from seem_data.sentences import describe


@dataclass(frozen=True, slots=True)
class GroundingOptions:
    """Which sentences are written.

    Attributes:
        per_segment: generated sentences per segment, at most; the annotators' own are always kept.
        generated: False: the annotators' own sentences only.
        seed: decides which of the true sentences are taken.
    """

    per_segment: int = 4
    generated: bool = True
    seed: int = 0

    @property
    def needs_pixels(self) -> bool:
        """Whether the photo's colours are looked at."""
        return self.generated and self.per_segment > 1  # the first one is the name


def sentences(
    panoptic: Panoptic, options: GroundingOptions, pixels: NDArray[np.uint8] | None, name: str
) -> list[tuple[Sentence, ...]]:
    """The sentences of each segment, the annotators' own first, none twice.

    Args:
        pixels: [h, w, 3] the photo as RGB, the same view at any size; None: no colours are told.
        name: of the image; with `options.seed` it decides which of the true sentences are taken.
    """
    drawing = panoptic.drawing
    count = options.per_segment if options.generated else 0
    generated = describe(drawing, pixels, count, f"{options.seed}/{name}")
    said = []
    for segment, more in zip(drawing.segments, generated, strict=True):
        own = {sentence.raw for sentence in segment.sentences}
        said.append((*segment.sentences, *(sentence for sentence in more if sentence.raw not in own)))
    return said


def rows(
    panoptic: Panoptic, options: GroundingOptions, pixels: NDArray[np.uint8] | None, name: str
) -> list[dict[str, Any]]:
    """One annotation per segment that has a sentence, in segment order; arguments as for `sentences`.

    ``id`` and ``image_id`` are left to the writer, which counts them over the split.
    """
    every = sentences(panoptic, options, pixels, name)
    if not any(every):
        return []
    outlines = trace(panoptic.drawing.runs, panoptic.drawing.layers)
    return [
        {
            "segment_id": segment.id,
            "category_id": segment.category_id,
            "bbox": list(segment.bbox),
            "area": segment.area,
            "iscrowd": segment.iscrowd,
            "segmentation": [part.polygon().ravel().tolist() for part in parts],
            "sentences": [{"raw": sentence.raw, "kind": sentence.kind} for sentence in said],
        }
        for segment, said, parts in zip(panoptic.segments, every, outlines, strict=True)
        if said
    ]
