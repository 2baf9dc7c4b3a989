"""Regions ─▶ one index map: drawing order, overlaps, holes, small and empty regions, what nobody labelled.

Every part of every region is one layer, and a pixel belongs to the topmost layer that covers it (`layers`).
Which pixels a layer covers is pycocotools' rule, to the pixel (`scan`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import UNLABELED, VOID, Polygon, Region, Ring, Sentence
from seem_data.categories import Categories, Category
from seem_data.drawing.layers import Layers
from seem_data.drawing.nearest import spread_to_nearest
from seem_data.drawing.runs import Box, Runs, Stretches
from seem_data.drawing.scan import edges_of, scan_bitmap, scan_edges
from seem_data.problems import DataError, Problem, fault

Overlap = Literal["format", "small-on-top", "category-priority", "error"]

_UNLABELED, _VOID, _FIRST = 0, 1, 2  #: values while drawing; objects count from _FIRST on
_MOST_OBJECTS = 65_000  #: so that labels fit in 16 bits
_FARTHEST = 1e9  #: coordinates beyond are mistakes and would not be exact


@dataclass(frozen=True, slots=True)
class RasterOptions:
    """How regions become pixels.

    Attributes:
        overlap: who is seen where regions overlap. ``format``: the later in the file, but higher `Region.z`
            over lower; ``small-on-top``: the region that covers fewer pixels; ``category-priority``: the
            category that stands later in the colour map, and void on top of all; ``error``: objects that
            overlap are refused. Ties fall back to ``format``.
        unlabeled: what pixels become that nobody labelled: ``void``, the ``nearest`` segment, or the name of
            a stuff category.
        min_area: objects with fewer visible pixels are left out, and what lies under them shows.
        min_coverage: warn about images of which people labelled a smaller fraction (only with ``void``).
    """

    overlap: Overlap = "format"
    unlabeled: str = "void"
    min_area: int = 0
    min_coverage: float = 0.0


@dataclass(frozen=True, slots=True)
class DrawnSegment:
    """One segment of a drawing. `where` names the first region it was drawn from, for problems."""

    category: Category
    iscrowd: bool
    area: int
    bbox: Box
    sentences: tuple[Sentence, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is seen of the regions of one image.

    Attributes:
        stretches: the index map, where it is constant: 0 = void, k = ``segments[k - 1]``; in the smallest
            unsigned type, uint8 up to 255 segments.
        segments: things one by one (parts joined by group), stuff and crowds one per category.
        runs: the same map as column runs.
        layers: what was drawn, from which outlines find their straight edges again.
        coverage: fraction of the pixels that people labelled, void regions among them.
        dropped: how many regions and objects left no trace, by reason: ``broken`` (no usable outline),
            ``empty`` (no pixel inside), ``hidden``, ``small``.
    """

    stretches: Stretches
    segments: list[DrawnSegment]
    runs: Runs
    layers: Layers
    coverage: float
    dropped: dict[str, int]


@dataclass(slots=True)
class _Object:
    """Regions that become one segment."""

    category: Category
    iscrowd: bool
    where: str
    sentences: dict[Sentence, None] = field(default_factory=dict)


def rasterize(
    regions: Sequence[Region],
    size: tuple[int, int],
    categories: Categories,
    options: RasterOptions,
    problems: list[Problem],
    file: str = "",
) -> Drawing:
    """Draw the regions of one image.

    Args:
        regions: in drawing order; every label is the name of a category, `VOID` or `UNLABELED`.
            `VOID` regions erase to 0, `UNLABELED` ones to what nobody labelled (a hole in what lies below).
        size: (width, height) of the image.
        problems: findings about regions are added here; the drawing is made of what is good.
        file: the annotation file, for problems.

    Raises:
        DataError: objects overlap and `options.overlap` is ``error``, or `options.unlabeled` names no stuff
            category.
    """
    pixel_count = size[0] * size[1]
    filler = _filler(options, categories, file)
    objects, value_of_region = _objects(regions, categories)
    if len(objects) > _MOST_OBJECTS:
        raise DataError(_too_many(len(objects), file))
    dropped: Counter[str] = Counter()
    layers, region_of_layer = _layers(regions, value_of_region, size, problems, file, dropped)
    layers = layers.take(_order(layers, region_of_layer, regions, objects, categories, options, pixel_count))

    stretches = layers.seen(size)
    areas = stretches.areas(len(objects) + _FIRST)
    if options.overlap == "error":
        _refuse_overlaps(layers, areas, objects, pixel_count, file)
    seen = areas >= max(options.min_area, 1)
    seen[:_FIRST] = True
    _tell_dropped(layers, areas, seen, objects, options, pixel_count, problems, file, dropped)
    if areas[~seen].any():  # small ones go, and what is under them shows
        layers = layers.take(np.flatnonzero(seen[layers.value]))
        stretches = layers.seen(size)
        areas = stretches.areas(len(areas))

    coverage = 1 - int(areas[_UNLABELED]) / pixel_count
    if options.unlabeled == "void" and coverage < options.min_coverage:
        problems.append(_low_coverage(coverage, options, file))

    kept = [objects[value - _FIRST] for value in np.flatnonzero(seen).tolist() if value >= _FIRST]
    index = np.where(seen, np.cumsum(seen) - _FIRST, 0)
    index[:_FIRST] = 0
    if coverage < 1 and filler is not None:
        index[_UNLABELED] = 1 + _index_of_stuff(filler, kept)
    if coverage < 1 and options.unlabeled == "nearest":
        stretches = spread_to_nearest(stretches, _UNLABELED, _FIRST)
    stretches = stretches.relabelled(index.astype(np.min_scalar_type(len(kept))))
    runs = stretches.runs(len(kept))
    segments = [
        DrawnSegment(thing.category, thing.iscrowd, area, box, tuple(thing.sentences), thing.where)
        for thing, area, box in zip(kept, runs.areas()[1:].tolist(), runs.boxes(), strict=True)
    ]
    return Drawing(stretches, segments, runs, layers, coverage, dict(dropped))


def _filler(options: RasterOptions, categories: Categories, file: str) -> Category | None:
    """The stuff category for pixels that nobody labelled, if one is asked for."""
    if options.unlabeled in ("void", "nearest"):
        return None
    filler = categories.find(options.unlabeled)
    if filler is not None and not filler.isthing:
        return filler
    reason = "is a thing" if filler else "is no category of the colour map"
    stuff = ", ".join(category.name for category in categories if not category.isthing) or "none"
    message = f"--unlabeled {options.unlabeled!r} {reason}."
    raise fault("bad-unlabeled", message, f"Use void, nearest or a stuff category ({stuff}).", file)


def _objects(regions: Sequence[Region], categories: Categories) -> tuple[list[_Object], NDArray[np.int64]]:
    """Which regions are one object, and the value that each region paints."""
    objects: list[_Object] = []
    value_of: dict[Hashable, int] = {}
    values: list[int] = []
    for number, region in enumerate(regions):
        if region.label in (VOID, UNLABELED):
            values.append(_VOID if region.label == VOID else _UNLABELED)
            continue
        category = categories.find(region.label)
        if category is None:
            raise ValueError(f"{region.label!r} is no category: resolve labels before drawing")
        iscrowd = region.iscrowd and category.isthing
        key: Hashable = number
        if iscrowd or not category.isthing:
            key = (category.id, iscrowd)
        elif region.group is not None:
            key = (category.id, "group", region.group)
        value = value_of.setdefault(key, len(objects) + _FIRST)
        if value == len(objects) + _FIRST:
            objects.append(_Object(category, iscrowd, region.where))
        if region.sentences:
            objects[value - _FIRST].sentences.update(dict.fromkeys(region.sentences))
        values.append(value)
    return objects, np.array(values, np.int64)


def _index_of_stuff(category: Category, objects: list[_Object]) -> int:
    """Where the stuff is among the objects; it is added where it is not."""
    for index, thing in enumerate(objects):
        if thing.category is category:
            return index
    objects.append(_Object(category, False, ""))
    return len(objects) - 1


def _layers(
    regions: Sequence[Region],
    value_of_region: NDArray[np.int64],
    size: tuple[int, int],
    problems: list[Problem],
    file: str,
    dropped: Counter[str],
) -> tuple[Layers, NDArray[np.int64]]:
    """Every usable part of every region as a layer, in list order, and the region it belongs to."""
    rings: list[Ring] = []
    layer_of_ring: list[int] = []
    bitmaps: list[tuple[NDArray[np.int64], int]] = []
    region_of_layer: list[int] = []
    for number, region in enumerate(regions):
        usable = 0
        for part in region.parts:
            layer = len(region_of_layer)
            if isinstance(part, Polygon):
                good = [ring for ring in (part.outer, *part.holes) if _usable(ring, region, problems, file)]
                if not good or good[0] is not part.outer:
                    continue
                rings += good
                layer_of_ring += [layer] * len(good)
            else:
                bitmaps.append((scan_bitmap(part, *size), layer))
            region_of_layer.append(number)
            usable += 1
        if not usable:
            dropped["broken"] += 1

    edges, ring_of_edge = edges_of(rings)
    toggle, edge = scan_edges(edges, *size)
    layer = np.array(layer_of_ring, np.int64)[ring_of_edge[edge]]
    if bitmaps:
        toggle = np.concatenate([toggle, *(found for found, _ in bitmaps)])
        layer = np.concatenate([layer, *(np.full(len(found), number) for found, number in bitmaps)])
        edge = np.append(edge, np.full(len(toggle) - len(edge), -1))
        order = np.argsort(layer, kind="stable")
        toggle, layer, edge = toggle[order], layer[order], edge[order]
    region_numbers = np.array(region_of_layer, np.int64)
    return Layers(value_of_region[region_numbers], toggle, layer, edge, edges), region_numbers


def _usable(ring: Ring, region: Region, problems: list[Problem], file: str) -> bool:
    if len(ring) < 3:
        code, message = "few-points", f"{region.label!r} has a ring of {len(ring)} point(s)."
        remedy = "A polygon needs three; draw it again."
    elif np.vdot(ring, ring) <= _FARTHEST**2:  # nearly always: then no coordinate is farther, or NaN
        return True
    elif not (np.abs(ring) <= _FARTHEST).all():
        bad = next(value for value in ring.ravel().tolist() if not abs(value) <= _FARTHEST)
        code, message = "bad-coordinate", f"{region.label!r} has the coordinate {bad}."
        remedy = "Coordinates are pixels of the image; draw the region again."
    else:
        return True
    problems.append(Problem(code, message, remedy, file, region.where))
    return False


def _order(
    layers: Layers,
    region_of_layer: NDArray[np.int64],
    regions: Sequence[Region],
    objects: Sequence[_Object],
    categories: Categories,
    options: RasterOptions,
    pixel_count: int,
) -> NDArray[np.int64]:
    """The layers from bottom to top."""
    z = np.array([region.z for region in regions], np.int64)[region_of_layer]
    if options.overlap == "small-on-top":
        own = np.bincount(region_of_layer, layers.own_areas(pixel_count), len(regions))
        return np.lexsort((z, -own[region_of_layer]))
    if options.overlap == "category-priority":
        rank = [len(categories)] * _FIRST + [categories.index_of[o.category.id] for o in objects]
        return np.lexsort((z, np.array(rank)[layers.value]))
    return np.argsort(z, kind="stable")


def _refuse_overlaps(
    layers: Layers, areas: NDArray, objects: Sequence[_Object], pixel_count: int, file: str
) -> None:
    """
    Raises:
        DataError: some object is partly hidden by another one.
    """
    problems = []
    for value, thing in enumerate(objects, _FIRST):
        alone = layers.take(np.flatnonzero(layers.value == value)).seen((1, pixel_count))
        hidden = int(alone.areas(value + 1)[value]) - int(areas[value])
        if hidden:
            message = f"{thing.category.name!r} is overlapped on {hidden} pixel(s)."
            remedy = "Draw them apart, or choose another --overlap."
            problems.append(Problem("overlap", message, remedy, file, thing.where))
    if problems:
        raise DataError(problems)


def _tell_dropped(
    layers: Layers,
    areas: NDArray,
    seen: NDArray[np.bool_],
    objects: Sequence[_Object],
    options: RasterOptions,
    pixel_count: int,
    problems: list[Problem],
    file: str,
    dropped: Counter[str],
) -> None:
    """Count and report objects that are not in the drawing."""
    if seen.all():
        return
    own = np.bincount(layers.value, layers.own_areas(pixel_count), len(seen))
    drawn = np.bincount(layers.value, minlength=len(seen))
    for value in np.flatnonzero(~seen).tolist():
        thing = objects[value - _FIRST]
        if not drawn[value]:
            continue  # its outlines were broken: told already
        if areas[value]:
            reason = "small"
            message = f"shows {areas[value]} pixel(s), fewer than the {options.min_area} of --min-area."
        elif own[value]:
            reason, message = "hidden", "is fully hidden by regions drawn over it."
        else:
            reason, message = "empty", "covers no pixel of the image: it lies outside or is too thin."
        dropped[reason] += 1
        message = f"{thing.category.name!r} {message} It is left out."
        remedy = "Change the drawing order, or choose another --overlap." if reason == "hidden" else ""
        problems.append(Problem(f"{reason}-region", message, remedy, file, thing.where, "warning"))


def _too_many(count: int, file: str) -> Problem:
    message = f"has {count} objects; an image can have {_MOST_OBJECTS}."
    remedy = "Noise in a painted mask? Clean it, or raise the size from which components count."
    return Problem("too-many-objects", message, remedy, file)


def _low_coverage(coverage: float, options: RasterOptions, file: str) -> Problem:
    message = f"only {coverage:.1%} of the image is labelled, less than {options.min_coverage:.0%}."
    remedy = "Label the ground too, or name a category for it with --unlabeled."
    return Problem("low-coverage", message, remedy, file, severity="warning")
