"""Segments and their sentences ─▶ grounding annotations that the original SEEM's loaders read.

Those loaders take polygons only, rasterise each with pycocotools and add the masks up without clipping, and
one of them drops an object whose first polygon has fewer than four points. So an annotation holds the
disjoint parts of its segment, the largest first, each one closed line of at least four points with bridges to
its holes; decoded as they do it, it is the segment's mask in the panoptic PNG to the pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from seem_data.annotations import Sentence
from seem_data.drawing.outlines import Piece, trace
from seem_data.encoding.panoptic import PanopticImage
from seem_data.layout import Segment


def rows(
    panoptic: PanopticImage,
    sentences: Sequence[Sequence[Sentence]],
    outlines: list[list[Piece]] | None = None,
) -> list[dict[str, object]]:
    """One annotation per segment that has a sentence, in segment order.

    Args:
        sentences: of each segment of `panoptic.segments`.
        outlines: the parts of each, where they have been traced already.
    """
    if not any(sentences):
        return []
    if outlines is None:
        outlines = trace(panoptic.drawing.runs, panoptic.drawing.layers)
    return [
        row(segment, polygons(parts), said)
        for segment, said, parts in zip(panoptic.segments, sentences, outlines, strict=True)
        if said
    ]


def row(segment: Segment, polygons: list[list[float]], sentences: Sequence[Sentence]) -> dict[str, object]:
    """The annotation of a segment, without ``id`` and ``image_id``, which the writer counts over a split."""
    return {
        "segment_id": segment.id,
        "category_id": segment.category_id,
        "bbox": list(segment.bbox),
        "area": segment.area,
        "iscrowd": segment.iscrowd,
        "segmentation": polygons,
        "sentences": [{"raw": sentence.raw, "kind": sentence.kind} for sentence in sentences],
    }


def polygons(parts: Iterable[Piece]) -> list[list[float]]:
    return [part.polygon().ravel().tolist() for part in parts]
