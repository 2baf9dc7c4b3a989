"""What goes over the wire, as types: requests are checked against them, and OpenAPI is made of them.

Coordinates are (x, y) in pixels of the photo as a viewer shows it (EXIF applied), from its top left corner.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Coordinate = Annotated[float, Meta(ge=-100_000, le=1_000_000)]
Vertex = tuple[Coordinate, Coordinate]
Line = Annotated[list[Vertex], Meta(min_length=1, max_length=20_000)]
Polygon = Annotated[list[Vertex], Meta(min_length=3, max_length=20_000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ObjectId = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Click(Struct, forbid_unknown_fields=True):
    """A point on an object, or on what it is not."""

    x: Coordinate
    y: Coordinate
    positive: bool = True


class Stroke(Struct, forbid_unknown_fields=True):
    """A line drawn over an object, or over what it is not."""

    line: Line
    positive: bool = True


class Prompt(Struct, forbid_unknown_fields=True):
    """What the model is asked about one object; all that is given speaks of the same one.

    `object` is the one to go on with; without it a new one is looked for. `reference` are polygons drawn on
    the session's reference photo: the model looks for what they show. What scores less than `min_score` is
    not found; without it that is what was measured for texts on validation data, and 0 for marks.
    """

    object: ObjectId | None = None
    text: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    points: Annotated[list[Click], Meta(max_length=500)] = []
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None = None
    strokes: Annotated[list[Stroke], Meta(max_length=100)] = []
    reference: Annotated[list[Polygon], Meta(max_length=50)] = []
    min_score: Annotated[float, Meta(ge=0, le=1)] | None = None


class Edit(Struct, forbid_unknown_fields=True):
    """Pixels put to an object, or taken from it, by hand: inside a polygon, or under a brush.

    Without `object` a new one is drawn. What was drawn by hand is not overruled by the model's next answer.
    """

    object: ObjectId | None = None
    add: bool = True
    polygon: Polygon | None = None
    brush: Line | None = None
    width: Annotated[float, Meta(ge=1, le=10_000)] = 16.0
    name: Name | None = None


class EverythingRequest(Struct, forbid_unknown_fields=True):
    """`categories` are names; without them the model's own."""

    categories: Annotated[list[Name], Meta(max_length=500)] = []


class Rename(Struct, forbid_unknown_fields=True):
    name: Name


class Merge(Struct, forbid_unknown_fields=True):
    objects: Annotated[list[ObjectId], Meta(min_length=2, max_length=500)]


class Rle(Struct):
    """A mask as COCO's compressed run lengths; `size` is [height, width]."""

    size: tuple[int, int]
    counts: str


class ObjectRow(Struct):
    """An object on the table. `mask` is left out where the caller knows it already by `revision`."""

    id: int
    revision: int
    name: str
    color: str
    area: int
    box: tuple[int, int, int, int]  # left, top, right, bottom
    origin: Literal["prompt", "everything", "drawn"]
    edited: bool
    score: float | None = None
    prompt: str = ""
    mask: Rle | None = None


class Timing(Struct):
    """Milliseconds: `waited` for the model, `model` at work, `total` in the server."""

    waited: float
    model: float
    total: float


class NothingFound(Struct):
    """Why nothing came of what was asked, and the score of what comes nearest (0: nothing does)."""

    reason: str
    best: float


class Table(Struct):
    """All objects of a session, later ones on top."""

    objects: list[ObjectRow]
    can_undo: bool
    can_redo: bool
    changed: list[int]
    timing: Timing | None = None
    not_found: NothingFound | None = None


class Status(Struct):
    """A session. While `state` is `waiting`, `position` others are before it (0: it is next)."""

    id: str
    state: Literal["waiting", "looking", "ready", "failed"]
    name: str
    width: int
    height: int
    position: int = 0
    expected_ms: float | None = None
    embed_ms: float | None = None
    error: str | None = None
    kept: bool = False


class CategoryReply(Struct):
    name: str
    color: str
    isthing: bool


class About(Struct):
    """The model, and what this server offers."""

    model: str
    base: str | None
    device: str
    categories: list[CategoryReply]
    photos: int
    keeps: bool
    version: str


class AlbumRow(Struct):
    """A photo of ``--images``. `unsure` is 0 (all is surely told) to 1; null: not looked at yet."""

    number: int
    name: str
    kept: bool
    unsure: float | None = None


class AlbumReply(Struct):
    photos: list[AlbumRow]
    looked_at: int


class Kept(Struct):
    """What was written, and how to go on with it."""

    photo: str
    annotation: str
    folder: str
    objects: int
    next: str


class ProblemReply(Struct):
    error: str


class AlbumChoice(Struct, forbid_unknown_fields=True):
    """Without a number the next photo, least sure first, that was neither opened nor kept."""

    number: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None


class ReferenceRow(Struct):
    width: int
    height: int
