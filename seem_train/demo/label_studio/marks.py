"""What somebody drew with a smart tool in Label Studio ─▶ a prompt. Its numbers are percent of the photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from seem_data.layout import DataError
from seem_data.writers.labelstudio import decode_brush
from seem_train.demo.wire import Click, Prompt, Stroke
from seem_train.errors import UserError

Result: TypeAlias = Mapping[str, Any]  #: of JSON
Size: TypeAlias = tuple[int, int]  #: (height, width)
_ROWS = 24  #: a brush is told to the model as so many lines at most


def prompt_of(results: Sequence[Result], size: tuple[int, int]) -> tuple[Prompt, str]:
    """
    Args:
        results: of the request's ``context``, all of one object.
        size: (height, width) of the photo.

    Returns:
        the prompt, and the label that was chosen ("" if none was).

    Raises:
        UserError: a result is of no kind that can be a prompt, or its numbers are none.
    """
    prompt, label = Prompt(), ""
    for result in results:
        kind = str(result.get("type"))
        try:
            value = result["value"]
            _READERS[kind](prompt, result, value, size)
            label = next(iter(value.get(kind) or ()), label) if kind != "textarea" else label
        except KeyError as error:
            if kind not in _READERS:
                raise UserError(
                    f"a {kind} cannot be a prompt; there are: {', '.join(sorted(_READERS))}"
                ) from None
            raise UserError(f"a {kind} without {error}: draw it again") from None
        except (DataError, TypeError, ValueError, AttributeError, IndexError):
            raise UserError(f"a {kind} whose numbers cannot be read: draw it again") from None
    return prompt, str(label)


def _point(prompt: Prompt, result: Result, value: Result, size: Size) -> None:
    x, y = _pixel(value["x"], value["y"], size)
    positive = result.get("is_positive", value.get("is_positive", True))
    prompt.points = [*prompt.points, Click(x, y, bool(positive))]


def _box(prompt: Prompt, _: Result, value: Result, size: Size) -> None:
    left, top = _pixel(value["x"], value["y"], size)
    right, bottom = _pixel(value["x"] + value["width"], value["y"] + value["height"], size)
    prompt.box = left, top, right, bottom


def _ellipse(prompt: Prompt, _: Result, value: Result, size: Size) -> None:
    left, top = _pixel(value["x"] - value["radiusX"], value["y"] - value["radiusY"], size)
    right, bottom = _pixel(value["x"] + value["radiusX"], value["y"] + value["radiusY"], size)
    prompt.box = left, top, right, bottom


def _polygon(prompt: Prompt, _: Result, value: Result, size: Size) -> None:
    line = [_pixel(x, y, size) for x, y in value["points"]]
    prompt.strokes = [*prompt.strokes, Stroke([*line, line[0]])]


def _brush(prompt: Prompt, result: Result, value: Result, size: Size) -> None:
    height, width = int(result["original_height"]), int(result["original_width"])
    if (height, width) != size:
        raise ValueError
    mask = decode_brush(bytes(value["rle"]), height, width)
    rows = np.flatnonzero(mask.any(1))
    for row in rows[:: max(1, len(rows) // _ROWS)]:
        columns = np.flatnonzero(mask[row])
        for run in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
            line = [(float(run[0]), float(row)), (float(run[-1]), float(row))]
            prompt.strokes = [*prompt.strokes, Stroke(line)]


def _text(prompt: Prompt, _: Result, value: Result, __: Size) -> None:
    text = value["text"]
    prompt.text = str(text if isinstance(text, str) else " ".join(text))[:300] or None


def _pixel(x: float, y: float, size: Size) -> tuple[float, float]:
    """Held inside the photo: tools let one draw over its edge."""
    height, width = size
    return min(max(x * width / 100, 0.0), width - 0.01), min(max(y * height / 100, 0.0), height - 0.01)


_READERS = {
    "keypointlabels": _point,
    "keypoint": _point,
    "rectanglelabels": _box,
    "rectangle": _box,
    "ellipselabels": _ellipse,
    "polygonlabels": _polygon,
    "brushlabels": _brush,
    "brush": _brush,
    "textarea": _text,
}
