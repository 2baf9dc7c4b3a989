"""What a user gives to `Predictor.segment`, in whatever shape ─▶ one `UserPrompt` for each object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch

from seem_train.data.image_scale import scaled_mask
from seem_train.errors import UserError
from seem_train.model.prompts import Marks
from seem_train.prediction.prompt_types import Prompts, UserPrompt

Size: TypeAlias = tuple[int, int]  # (height, width)
XY: TypeAlias = tuple[float, float]


def read_prompts(size: Size, prompts: Prompts) -> list[UserPrompt]:
    """
    Args:
        size: the photo's (height, width).

    Raises:
        UserError: nothing is given, the numbers differ, a mark lies outside, or something has another shape.
    """
    readers: dict[str, tuple[str, Callable[[object, Size], list[UserPrompt]]]] = {
        "text": ("text", _texts),  # keyword ─▶ what one of it is called, and who reads it
        "points": ("group of points", _points),
        "boxes": ("box", _boxes),
        "strokes": ("stroke", _strokes),
        "masks": ("mask", _masks),
        "reference": ("reference", _references),
    }
    read = {kind: readers[kind][1](value, size) for kind, value in prompts.given().items()}
    if not read:
        raise UserError("there is nothing to look for: give text, points, boxes, strokes, masks or reference")
    counts = {len(objects) for objects in read.values()}
    if len(counts) > 1:
        listed = ", ".join(f"{len(objects)} × {readers[kind][0]}" for kind, objects in read.items())
        raise UserError(
            f"prompts speak of different numbers of objects ({listed}); give as many of each, "
            "None for an object without"
        )
    merged = [UserPrompt()] * counts.pop()
    for objects in read.values():
        merged = [one.plus(other) for one, other in zip(merged, objects, strict=True)]
    for one in merged:
        one.positive.check(*size)
        one.negative.check(*size)
    return merged


def scaled(marks: Marks, photo: Size, seen: Size) -> Marks:
    """Marks on a photo as marks on what the model sees of it, where a point or stroke has its usual width."""
    (height, width), (down, across) = photo, seen

    def moved(x: float, y: float) -> XY:
        """The middle of a pixel stays the middle of what becomes of it."""
        return (int(x) + 0.5) * across / width, (int(y) + 0.5) * down / height

    boxes = []
    for left, top, right, bottom in marks.boxes:
        x0, y0 = int(max(left, 0) * across / width), int(max(top, 0) * down / height)
        boxes.append((x0, y0, max(right * across / width, x0 + 1), max(bottom * down / height, y0 + 1)))
    return replace(
        marks,
        points=[moved(*point) for point in marks.points],
        boxes=boxes,
        strokes=[[moved(*vertex) for vertex in stroke] for stroke in marks.strokes],
        masks=[scaled_mask(np.asarray(mask), seen) for mask in marks.masks],
    )


# One reader for each kind: what was given ─▶ one `UserPrompt` for each object. -------------------------


def _texts(value: object, _size: Size) -> list[UserPrompt]:
    texts = [value] if isinstance(value, str) else _items("text", value)
    for number, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise UserError(f"text {number} must be a string, not {type(text).__name__}: {text!r}")
        if text is not None and not text.strip():
            raise UserError(f"text {number} is empty; say what to look for, e.g. 'the red mug on the left'")
    return [UserPrompt(text) for text in texts]


def _points(value: object, _size: Size) -> list[UserPrompt]:
    depth = _depth(value)
    groups = [[value]] if depth == 1 else [value] if depth == 2 else _items("points", value)
    found = []
    for group in groups:
        signs: tuple[list[XY], list[XY]] = [], []
        for point in () if group is None else _items("points", group):
            x, y, is_for = _vertex("point", point)
            signs[not is_for].append((x, y))
        found.append(UserPrompt(positive=Marks(points=signs[0]), negative=Marks(points=signs[1])))
    return found


def _boxes(value: object, _size: Size) -> list[UserPrompt]:
    found = []
    for box in [value] if _depth(value) == 1 else _items("boxes", value):
        if box is None:
            found.append(UserPrompt())
            continue
        numbers = _numbers("box", box)
        if len(numbers) != 4:
            raise UserError(f"box {tuple(numbers)}: give left, top, right, bottom")
        left, top, right, bottom = numbers
        found.append(UserPrompt(positive=Marks(boxes=[(left, top, right, bottom)])))
    return found


def _strokes(value: object, size: Size) -> list[UserPrompt]:
    if _is_mask(value, size):
        return _masks(value, size)
    one = _depth(value) <= 2
    return [_stroke(entry, size) for entry in ([value] if one else _items("strokes", value))]


def _stroke(entry: object, size: Size) -> UserPrompt:
    """One object's: a mask, a polyline, or several polylines."""
    if entry is None:
        return UserPrompt()
    if _is_mask(entry, size):
        return UserPrompt(positive=Marks(masks=[_mask(entry, size)]))
    signs: tuple[list[list[XY]], list[list[XY]]] = [], []
    for line in [entry] if _depth(entry) == 2 else _items("stroke", entry):
        vertices = [_vertex("stroke", vertex) for vertex in _items("stroke", line)]
        if vertices:
            signs[not vertices[0][2]].append([(x, y) for x, y, _ in vertices])
    return UserPrompt(positive=Marks(strokes=signs[0]), negative=Marks(strokes=signs[1]))


def _masks(value: object, size: Size) -> list[UserPrompt]:
    entries = _items("masks", value) if _depth(value) == 3 else [value]
    marks = [Marks() if entry is None else Marks(masks=[_mask(entry, size)]) for entry in entries]
    return [UserPrompt(positive=one) for one in marks]


def _references(value: object, _size: Size) -> list[UserPrompt]:
    pairs = list(value) if isinstance(value, list) else [value]
    found = []
    for pair in pairs:
        if pair is None:
            found.append(UserPrompt())
            continue
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise UserError("a reference is a pair (image, mask of what is meant in it), or a list of pairs")
        mask = _array(pair[1])
        if mask.ndim not in (2, 3):
            raise UserError(f"the mask of a reference must be [H, W] or [K, H, W], this one is {mask.shape}")
        found += [UserPrompt(reference=(pair[0], m != 0)) for m in (mask if mask.ndim == 3 else mask[None])]
    return found


# Shapes. -------------------------------------------------------------------------------------------------


def _vertex(what: str, point: object) -> tuple[float, float, bool]:
    """x, y and whether it is for the object."""
    numbers = _numbers(what, point)
    if len(numbers) not in (2, 3) or (len(numbers) == 3 and numbers[2] not in (0, 1)):
        raise UserError(f"{what} {tuple(numbers)}: give (x, y), or (x, y, 0) for what the object is not")
    x, y = numbers[:2]
    return x, y, len(numbers) == 2 or bool(numbers[2])


def _items(what: str, value: object) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray | torch.Tensor):
        raise UserError(f"{what} {value!r}: must be a list")
    return list(value)


def _numbers(what: str, value: object) -> list[float]:
    try:
        numbers = [float(number) for number in _items(what, value)]
    except (TypeError, ValueError):
        raise UserError(f"{what} {value!r}: must be made of numbers") from None
    if not all(np.isfinite(numbers)):
        raise UserError(f"{what} {tuple(numbers)}: must be made of finite numbers")
    return numbers


def _mask(value: object, size: Size) -> np.ndarray:
    mask = _array(value)
    if mask.shape != size:
        raise UserError(
            f"a prompt mask must be [{size[0]}, {size[1]}], as the image is; this one is {mask.shape}"
        )
    if not (mask != 0).any():
        raise UserError("a prompt mask is empty: nothing is marked in it")
    return mask != 0


def _is_mask(value: object, size: Size) -> bool:
    if not isinstance(value, np.ndarray | torch.Tensor) or value.ndim != 2:
        return False
    return tuple(value.shape) == size or value.dtype in (np.bool_, torch.bool) or value.shape[1] not in (2, 3)


def _array(value: object) -> np.ndarray:
    try:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    except ValueError:  # ragged
        array = np.array(None)
    if array.dtype == object or array.dtype.kind in "US":
        raise UserError("a mask must be an array [H, W], true or not zero inside")
    return array


def _depth(value: object) -> int:
    """How deep numbers are nested; None and empty lists are overlooked where others tell."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim
    if isinstance(value, Sequence) and not isinstance(value, str):
        return 1 + max((_depth(entry) for entry in value if entry is not None), default=0)
    return 0
