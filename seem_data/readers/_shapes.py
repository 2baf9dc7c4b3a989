"""The shapes annotation tools know, as polygons and bitmaps; each refuses what has no area to draw."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import Bitmap, Polygon, Ring
from seem_data.images import opening
from seem_data.problems import DataError, Spot, fault

Line = TypeVar("Line")

#: How far, in pixels, the sides of a polygon may lie inside the circle or ellipse it stands for.
_SAGITTA = 0.02
#: Coordinates beyond this (in pixels) are mistakes; drawing counts on whole numbers of bounded size.
_FARTHEST = 1e7
#: The gap between the ends of a line, as a share of its length, up to which it is a closed outline.
_CLOSED = 0.05
#: More pixels than any photo we read has; a mask that claims more is a mistake or an attack.
_MOST_PIXELS = 2**28


def no_area(kind: str) -> DataError:
    """A shape that is left out because it is a line or points; no mistake of the user's."""
    return fault(
        "no-area", f"is of kind {kind}, which encloses no area, and is left out.", severity="warning"
    )


def outline(points: Iterable[object], kind: str, place: Spot) -> Polygon:
    """A line as the outline it is meant for, if its ends meet, or nearly: their gap is at most a twentieth
    of the line's length. That it is taken so is told.

    Raises:
        DataError: the line is open, or no line.
    """
    try:
        line = np.array(list(points), dtype=np.float64)
    except (ValueError, TypeError, OverflowError):  # of uneven length, or no numbers
        raise no_area(kind) from None
    if line.ndim != 2 or line.shape[1:] != (2,) or len(line) < 4 or not np.isfinite(line).all():
        raise no_area(kind)
    length = float(np.hypot(*np.diff(line, axis=0).T).sum())
    gap = float(np.hypot(*(line[-1] - line[0])))
    if gap > _CLOSED * length:
        raise no_area(f"{kind} that is not closed")
    if gap:
        share = f"{gap:.3g} pixels, {gap / length:.1%} of its length"
        message = f"is a {kind} whose ends nearly meet ({share}): its inside is filled."
    else:
        message = f"is a closed {kind}: its inside is filled."
    place.tell("closed-line", message, severity="warning" if gap else "note")
    return Polygon(ring(line))


def usable(lines: Iterable[Line], ring_of: Callable[[Line], Ring], what: str, place: Spot) -> list[Ring]:
    """The rings that enclose an area. Each that has too few points is told and left out.

    Raises:
        DataError: a ring cannot be read at all.
    """
    found: list[Ring] = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(ring_of(line))
        except DataError as error:
            if error.problems[0].code != "too-few-points":
                raise
            message = error.problems[0].message.removeprefix("is ").removesuffix(".")
            place.tell("degenerate-part", f"has {what} {number} that is {message}: it is left out.")
    return found


def ring(points: Iterable[object]) -> Ring:
    """Points as a closed line, float64 [N, 2].

    Raises:
        DataError: a coordinate is missing, NaN or infinite, or fewer than three points differ.
    """
    try:
        line = np.array(points if isinstance(points, np.ndarray) else list(points), dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        line = np.full(1, np.nan)  # of uneven length, or no numbers
    return _closed(line)


def _closed(line: NDArray[np.float64]) -> Ring:
    """The points, checked, without the first repeated at the end."""
    if line.size and (line.ndim != 2 or line.shape[-1] != 2):
        raise fault("bad-points", "has points that are not pairs of x and y.", "Draw the object again.")
    if not np.vdot(line, line) <= _FARTHEST**2:  # nearly always it is: no coordinate is farther, or NaN
        farthest = float(np.abs(line).max())
        if not farthest <= _FARTHEST:  # also false for NaN
            _tell_finite(line)
            _check_near(farthest)
    if len(line) > 1 and line[0].tolist() == line[-1].tolist():
        line = line[:-1]  # the first point may be repeated at the end
    if len(line) < 3 or not _has_three_points(line):
        message = f"is a polygon of {len(line)} point(s); it takes three different ones to enclose an area."
        raise fault("too-few-points", message, "Draw the object again or delete it.")
    return line


def _tell_finite(line: Ring) -> None:
    finite = np.isfinite(line).reshape(-1, 2).all(axis=1)
    if not finite.all():
        bad = int(np.argmin(finite))
        message = f"has a point without finite coordinates (number {bad + 1} of {len(line)})."
        raise fault("not-finite", message, "Draw the object again.")


def _has_three_points(line: Ring) -> bool:
    """Whether at least three of the points differ, without sorting them."""
    one, two, three = line[:3].tolist()
    if one != two != three != one:
        return True  # nearly always
    others = line[(line != line[:1]).any(axis=1)]
    return len(others) > 1 and bool((others != others[0]).any())


def _check_near(farthest: float) -> None:
    if farthest > _FARTHEST:
        message = f"has a point at {farthest:g} pixels, far outside of any photo."
        raise fault("far-point", message, "Draw the object again.")


def flat_ring(numbers: Sequence[object]) -> Ring:
    """The same from ``[x1, y1, x2, y2, …]``."""
    if len(numbers) % 2:
        message = f"has {len(numbers)} numbers where pairs of x and y belong."
        raise fault("bad-points", message, "Draw the object again.")
    try:
        line = np.array(numbers, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):  # lists, or words
        line = np.full(2, np.nan)
    if line.ndim != 1:
        return _closed(line)
    if len(line) >= 8 and np.vdot(line, line) <= _FARTHEST**2:  # as `_closed` finds of nearly all, but faster
        x0, y0, x1, y1, x2, y2 = line[:6].tolist()
        if (x0, y0) != (x1, y1) != (x2, y2) != (x0, y0) and [x0, y0] != line[-2:].tolist():
            return line.reshape(-1, 2)
    return _closed(line.reshape(-1, 2))


def rectangle(x0: float | None, y0: float | None, x1: float | None, y1: float | None) -> Polygon:
    """The upright rectangle between two opposite corners."""
    return Polygon(ring([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]))


def box(left: float, top: float, width: float, height: float, degrees: float = 0) -> Polygon:
    """A rectangle turned clockwise about its top-left corner."""
    return Polygon(turned(rectangle(left, top, left + width, top + height).outer, (left, top), degrees))


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0) -> Polygon:
    """An ellipse, turned clockwise about its centre, as a polygon of equal steps in angle.

    The polygon lies inside the ellipse by at most a fiftieth of a pixel.
    """
    if not all(map(math.isfinite, (cx, cy, rx, ry, degrees))):
        raise fault("not-finite", "has a centre or radius that is not finite.", "Draw the object again.")
    _check_near(max(map(abs, (cx, cy, rx, ry))))
    if min(rx, ry) <= 0:
        raise fault("no-area", f"has the radius {min(rx, ry):g}.", "Draw the object again or delete it.")
    step = math.acos(max(1 - _SAGITTA / max(rx, ry), 0.5))
    quarter = min(max(math.ceil(math.pi / step / 4), 3), 512)
    angles = np.linspace(0, 2 * np.pi, 4 * quarter, endpoint=False)  # so that width and height are exact
    line = np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], axis=1)
    return Polygon(turned(line, (cx, cy), degrees))


def turned(line: Ring, centre: tuple[float, float], degrees: float) -> Ring:
    """The line turned about a point; clockwise as seen, y pointing down."""
    if not degrees:
        return line
    if not math.isfinite(degrees):
        raise fault("not-finite", "has a rotation that is not finite.", "Draw the object again.")
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return (line - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre


def bitmap(mask: NDArray[np.generic], left: int = 0, top: int = 0) -> Bitmap:
    """A mask cut to the box of its pixels.

    Raises:
        DataError: it has no pixel.
    """
    import cv2  # on first use: loading it takes as long as building ten images

    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if not width:
        raise fault("empty-mask", "is a mask without a pixel.", "Paint the object again or delete it.")
    return Bitmap(np.ascontiguousarray(mask[y : y + height, x : x + width], dtype=bool), left + x, top + y)


def from_runs(
    counts: Sequence[int] | NDArray[np.int64], height: int, width: int, column_major: bool
) -> NDArray[np.bool_]:
    """Run lengths, of zeros first, as a mask [height, width].

    Raises:
        DataError: the runs do not add up to the mask's pixels.
    """
    check_mask_size(height, width)
    try:
        runs = np.asarray(counts, dtype=np.int64).reshape(-1)
    except OverflowError:
        runs = np.array([-1])
    if not runs.size or runs.min() < 0 or runs.max() > height * width or runs.sum() != height * width:
        message = f"has a run-length mask that does not fill its {width}×{height} pixels."
        raise fault("bad-rle", message, "Export the annotations again.")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return pixels.reshape(width, height).T if column_major else pixels.reshape(height, width)


def check_mask_size(height: int, width: int) -> None:
    if height <= 0 or width <= 0 or height * width > _MOST_PIXELS:
        raise fault(
            "bad-mask-size", f"has a mask of {width}×{height} pixels.", "Export the annotations again."
        )


def from_base64(text: str, what: str = "mask") -> bytes:
    """The bytes of a text, which may be an address with the bytes in it (``data:image/png;base64,…``).

    Raises:
        DataError: the text is not base64.
    """
    text = text.partition("base64,")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError) as error:
        raise fault(
            f"bad-{what}", f"has a {what} that is not base64 ({error}).", "Export the annotations again."
        ) from None


def from_png(data: bytes) -> NDArray[np.bool_]:
    """A mask stored as an image: its opaque pixels if it has transparency, otherwise those not black.

    Raises:
        DataError: the bytes are no image, or a larger one than any photo.
    """
    with opening(data, "") as opened:
        check_mask_size(opened.height, opened.width)
        if opened.mode in ("RGBA", "LA", "PA") or "transparency" in opened.info:
            return np.asarray(opened.convert("RGBA"))[:, :, 3] > 0
        pixels = np.atleast_3d(np.asarray(opened))  # of palette images the indices
        return np.any(pixels, axis=2)


def from_compressed_runs(counts: str, height: int, width: int) -> NDArray[np.bool_]:
    """COCO's compressed RLE as a mask [height, width] (``rleFrString`` in cocoapi's ``maskApi.c``).

    Each run length is written in digits of five bits, lowest first, as characters from "0" on; a sixth bit
    says that another digit follows, the highest bit of the last digit is the sign. From the fourth on, run
    lengths are differences to the last but one. Decoded here because pycocotools accepts text that is cut off
    or no such mask, and leaves pixels undefined.

    Raises:
        DataError: the text is not such, or does not fill the mask.
    """
    digits = np.frombuffer(counts.encode("utf-8"), np.uint8).astype(np.int64) - ord("0")
    last = np.flatnonzero(digits & 32 == 0)
    first = np.append(0, last[:-1] + 1)
    if not last.size or last[-1] != len(digits) - 1 or digits.min() < 0 or digits.max() > 63:
        raise fault("bad-rle", "has a run-length mask that is cut off or no such.", "Export it again.")
    lengths = last - first + 1
    if lengths.max() > 8:
        raise fault("bad-rle", "has a run-length mask with too long runs.", "Export it again.")
    place = np.arange(len(digits)) - np.repeat(first, lengths)
    runs = np.add.reduceat((digits & 31) << (5 * place), first)
    runs -= np.where(digits[last] & 16, 1 << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return from_runs(runs, height, width, column_major=True)
