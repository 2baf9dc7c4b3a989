"""Label Studio's tasks in every form: whose annotation of a task is read, and which photo is meant.

Forms: a list of tasks or a single one ("JSON"), rows that hold data and results side by side ("JSON-MIN", in
which results have neither ids nor types), and annotations that hold their task (synchronised to a storage).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec

from seem_data import images
from seem_data.common.wording import a_few
from seem_data.problems import DataError, Problem, Spot, fault
from seem_data.readers import _json, _photos
from seem_data.readers._json import Id
from seem_data.readers._lenient import Needed

_UPLOAD = re.compile(r"^[0-9a-f]{8}-", re.IGNORECASE)
#: Keys of a task's data that name the photo to look at, where several values could.
_PHOTO_KEY = re.compile(r"(image|img|photo|picture)(_?(url|path|file))?s?\d*", re.IGNORECASE)
#: What a row of JSON-MIN says besides the task's data and the results.
_OF_ROW = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
_SHAPE_KEYS = ("points", "rle", "imageDataURL", "x", "radiusX", "vertices")


class Annotation(msgspec.Struct):
    """What one annotator marked in one task."""

    result: Annotated[list[msgspec.Raw] | None, Needed] = None
    id: Id | None = None
    was_cancelled: bool | None = False
    ground_truth: bool | None = False
    updated_at: str | None = None
    created_at: str | None = None
    completed_by: object = None

    @property
    def time(self) -> str:
        return self.updated_at or self.created_at or ""

    @property
    def annotator(self) -> set[str]:
        """The words by which the annotator may be called: number, address, name."""
        by = self.completed_by
        words = by.values() if isinstance(by, dict) else [by]
        return {word.casefold() for value in words if (word := _json.text_of(value))}


class Task(msgspec.Struct):
    data: dict[str, object] | None = None
    annotations: Annotated[list[Annotation] | None, Needed] = None
    completions: Annotated[list[Annotation] | None, Needed] = None  #: so called before version 1.0
    file_upload: str | None = None
    id: Id | None = None
    predictions: list[Annotation] | None = None  #: a model's

    @property
    def done(self) -> list[Annotation]:
        return [row for row in self.annotations or self.completions or [] if not row.was_cancelled]


class _Held(msgspec.Struct):
    """The task that an annotation holds; of its annotations it may list the ids."""

    data: dict[str, object] | None = None
    file_upload: str | None = None
    id: Id | None = None


class _Synchronised(msgspec.Struct):
    """An annotation that holds its task."""

    task: _Held | Id | None = None


def fits(path: Path) -> bool:
    """Whether a JSON file holds tasks in any of their forms."""
    kind, keys = _json.outline(path)
    if not kind:
        return False
    return (
        bool(keys & {"annotations", "completions"} and keys & {"data", "file_upload"})
        or {"result", "task"} <= keys
        or "annotation_id" in keys
        or {"annotator", "lead_time"} <= keys
    )


def tasks(path: Path, problems: list[Problem]) -> Iterator[tuple[str, Task]]:
    """The tasks of a file, each with its place. Rows and annotations of the same task are joined."""
    shown = str(path)
    top = _json.read(path, msgspec.Raw)
    rows = _json.decode(top, list[msgspec.Raw], shown) if bytes(top).lstrip()[:1] == b"[" else [top]
    joined: dict[str, tuple[str, Task]] = {}
    guesses: dict[str, str] = {}
    if proposed := _are_proposals(rows):
        message = "holds predictions of a model and no annotation; the predictions are read."
        remedy = "Correct them in Label Studio first, and export the annotations."
        problems.append(Problem("predictions", message, remedy, shown, severity="note"))
    for index, raw in enumerate(rows):
        where = f"[{index}]"
        with Spot(problems, shown, where):
            row = _json.decode(raw, dict[str, msgspec.Raw], shown)
            if {"annotations", "completions"} & row.keys():
                task = _json.decode(raw, Task, shown, problems, where)
                task.annotations = task.predictions if proposed else task.annotations
                yield where, task
                continue
            task = _of_annotation(raw, shown) if "result" in row else _of_row(raw, guesses, shown)
            _, first = joined.setdefault(str(task.id or where), (where, task))
            if first is not task:
                first.annotations = first.done + task.done
    if guesses:
        shows = a_few([f"{control!r} is on {photo or 'the first'}" for control, photo in guesses.items()])
        message = f"is JSON-MIN with several photos a task, and says of no region which it is on: {shows}."
        remedy = "That is taken from the names; export JSON, which says it."
        problems.append(Problem("which-photo", message, remedy, shown, severity="warning"))
    yield from joined.values()


def together(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Files that hold one annotation each, by the first of the same task; all others by themselves."""
    firsts: dict[tuple[str, bytes], Path] = {}
    files: dict[Path, list[Path]] = {}
    for path in paths:
        kind, keys = _json.outline(path)
        first = path
        if kind == "{" and {"result", "task"} <= keys:
            with Spot([]):  # what is wrong is told where the file is read
                held = _json.read(path, _Synchronised, []).task
                if isinstance(held, _Held) and held.id is not None:
                    key = str(_json.plain_id(held.id)), msgspec.json.encode(held.data)
                    first = firsts.setdefault(key, path)
        files.setdefault(first, []).append(path)
    return files


def _are_proposals(rows: list[msgspec.Raw]) -> bool:
    """Whether a model has predicted on some of the tasks, and nobody has annotated any."""
    proposed = False
    for raw in rows:
        with Spot([]):
            task = _json.decode(raw, Task, "", [])
            if task.done or (task.annotations is None and task.predictions is None):
                return False
            proposed |= bool(task.predictions)
    return proposed


def _of_annotation(raw: msgspec.Raw, shown: str) -> Task:
    task = _json.decode(raw, _Synchronised, shown).task
    if not isinstance(task, _Held):
        message = "is an annotation that does not hold its task, so that its photo is not known."
        raise fault("no-task", message, "Export the project as JSON.")
    return Task(task.data, [_json.decode(raw, Annotation, shown, [])], None, task.file_upload, task.id)


def _of_row(raw: msgspec.Raw, guesses: dict[str, str], shown: str) -> Task:
    """JSON-MIN: a control's results are a list under its name; all else is the task's data.

    Args:
        guesses: gets what had to be guessed: a control, and the key of the photo that it is on.
    """
    row = _json.decode(raw, dict[str, Any], shown)
    controls: dict[str, list[dict[str, Any]]] = {}
    data = {}
    for name, value in row.items():
        if isinstance(value, str) and value.startswith("[{"):  # as in CSV
            with Spot([]):
                value = _json.decode(value.encode(), list[Any], shown)
        shapes = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
        if shapes:
            controls[name] = shapes
        elif name not in _OF_ROW:
            data[name] = value
    pictures = [
        key for key, value in data.items() if isinstance(value, str) and _is_photo_name(_path_in(value))
    ]
    results: list[msgspec.Raw] = []
    places: dict[tuple[str, bytes], int] = {}
    for name, shapes in controls.items():
        photo = _named_by(name, pictures) if len(pictures) > 1 else ""
        for one in shapes:
            # The same outline under two controls is one region: its shape, and its label.
            shape = {key: one.get(key) for key in (*_SHAPE_KEYS, "y", "width", "height")}
            number = places.setdefault((photo, msgspec.json.encode(shape)), len(places))
            sizes = {key: one.get(key) for key in ("original_width", "original_height", "image_rotation")}
            kind = next((key for key in one if key.endswith("labels")), "")
            told = {"id": number, "type": kind, "value": one, "meta": one.get("meta"), "to_name": photo}
            results.append(msgspec.Raw(msgspec.json.encode({**told, **sizes})))
            if len(pictures) > 1 and any(shape.values()):
                guesses[name] = photo
    by, id = row.get("annotator"), row.get("annotation_id")
    times = [_json.text_of(row.get(key)) for key in ("updated_at", "created_at")]
    annotation = Annotation(results, id, False, False, times[0], times[1], by)
    return Task(data, [annotation], None, None, row.get("id"))


def _named_by(control: str, keys: list[str]) -> str:
    """The key of the photo that the name of a control has in it, or whose number it has; "" where none is."""
    found = sorted((key for key in keys if key.casefold() in control.casefold()), key=len)
    if number := re.search(r"\d+$", control):
        found = found or [key for key in keys if key.removesuffix(number[0]) != key]
    return found[-1] if found else ""


def chosen(task: Task, annotator: str | None, place: Spot) -> Annotation:
    """The annotation that is read: the named annotator's, or the ground truth, or else the newest that marks
    anything; what is not read of others is told.

    Raises:
        DataError: there is none.
    """
    done = task.done
    if annotator is not None and done:
        wanted = annotator.strip().casefold()
        theirs = [row for row in done if wanted in row.annotator]
        if not theirs:
            by = a_few(sorted({_called(row) for row in done}))
            message = f"is a task that {annotator!r} did not annotate, but {by}; it is left out."
            raise fault("other-annotator", message, "", severity="warning")
        done = theirs
    if not done:
        message = "is a task without annotation, and is left out."
        raise fault("not-annotated", message, severity="warning")
    marked = [row for row in done if row.result]
    best = max(marked or done, key=lambda row: (bool(row.ground_truth), row.time))
    if len(done) > 1 and marked:
        why = "the ground truth" if best.ground_truth else "the newest that marks anything"
        message = (
            f"has {len(done)} annotations (by {a_few([_called(row) for row in done])}); {why}, "
            f"of {_called(best)}, is read, the others are not."
        )
        place.tell("several-annotations", message, "Choose whose with --annotator.")
    return best


def _called(row: Annotation) -> str:
    by = row.completed_by
    if isinstance(by, dict):
        by = by.get("email") or by.get("username") or by.get("id")
    return _json.text_of(by) or "nobody named"


def photos_of(
    task: Task, to_names: list[str], photos: _photos.Photos, beside: Path
) -> list[tuple[list[Path], set[str]]]:
    """The photos of a task: the pages of each of its pictures, and the names of the tags that show it.

    `to_names` are those that results refer to, in order. A picture is shown by the tag of its own name, or of
    a name with the same number (img2, image2), or else they answer each other in order.

    Raises:
        DataError: no photo is found.
    """
    pictures: dict[str, list[Path]] = {}
    failures: list[DataError] = []
    for key, value in (task.data or {}).items():
        listed = value if isinstance(value, list) else [value]
        addresses = [one for one in listed if isinstance(one, str)]
        names = [name for one in addresses if _is_photo_name(name := _path_in(one))]
        if names and len(names) == len(listed):
            try:
                pictures[key] = [_find(name, photos, beside) for name in names]
            except DataError as error:
                failures.append(error)
    if len(pictures) < 2 and task.file_upload and not any(len(pages) > 1 for pages in pictures.values()):
        try:
            pictures = {"": [_find(task.file_upload, photos, beside)]}
        except DataError as error:
            failures.insert(0, error)
    if not pictures:
        message, remedy = "does not name its photo.", 'Export with "data" and its address.'
        raise failures[-1] if failures else fault("no-image-path", message, remedy)
    return [(pictures[key], tags) for key, tags in _shown_by(list(pictures), to_names).items()]


def _shown_by(keys: list[str], to_names: list[str]) -> dict[str, set[str]]:
    """Which tags show which picture; pictures that no tag shows are left out."""
    if len(keys) == 1:
        return {keys[0]: set(to_names)}
    likely = sorted(keys, key=lambda key: (key.lower() != "image", not _PHOTO_KEY.fullmatch(key)))
    found: dict[str, set[str]] = {}
    rest = []
    for name in to_names:
        number = re.search(r"\d+$", name)
        same = [key for key in keys if key == name]
        same += [key for key in likely if number and re.search(r"\d+$|$", key)[0] == number[0]]  # type: ignore[index]
        if same:
            found.setdefault(same[0], set()).add(name)
        else:
            rest.append(name)
    free = [key for key in likely if key not in found]
    for key, name in zip(free, rest, strict=False):
        found.setdefault(key, set()).add(name)
    for name in rest[len(free) :]:
        found.setdefault(likely[0], set()).add(name)
    return found or {likely[0]: set()}


def _find(name: str, photos: _photos.Photos, beside: Path) -> Path:
    try:
        return photos.find(name, beside)
    except DataError:
        base = Path(name).name
        if not _UPLOAD.match(base):
            raise
        return photos.find(_UPLOAD.sub("", base), beside)


def _is_photo_name(name: str) -> bool:
    return Path(name).suffix.lower() in images.SUFFIXES


def _path_in(address: str) -> str:
    """What an address says about the place of a file: less its server, bucket, query and escapes."""
    if "?d=" in address:  # local files are served as /data/local-files/?d=PATH
        return unquote(address.split("?d=", 1)[1])
    path = _photos.of_address(address)
    return unquote(address) if path == address else path
