"""JSON files in: tolerant of how they are encoded, and of types in fields that no mask needs (`_lenient`).

A byte order mark and UTF-16 or UTF-32 are understood. ``NaN``, ``Infinity`` and numbers beyond floating
point, which Python's json writes though JSON has none of them, are read as null, so that one bad coordinate
costs one object and not the file: declare such fields ``Number`` and check them with `readers._shapes`.
"""

from __future__ import annotations

import codecs
import json
import mmap
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import msgspec

from seem_data.problems import Problem, Spot, fault
from seem_data.readers import Input
from seem_data.readers._lenient import eased, without
from seem_data.readers._walk import annotation_files, head, read_bytes

T = TypeVar("T")
Made = TypeVar("Made")
Number = float | None
Id = int | str | float  #: an id: a whole number by all documents, anything in practice
Said = list[object] | dict[str, object] | str | None  #: sentences, see `sentences_in`


class CocoCategory(msgspec.Struct):
    """A row of COCO's ``categories``."""

    id: Id
    name: str


class CocoImage(msgspec.Struct):
    """A row of COCO's ``images``."""

    id: Id
    file_name: str


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with UTF-16's
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(
    data: bytes | msgspec.Raw,
    type: type[T],
    file: str,
    problems: list[Problem] | None = None,
    where: str = "",
) -> T:
    """JSON bytes as a msgspec type, with the leniency of `_lenient`.

    Args:
        problems: gets a warning for each field that no mask needs and that was of no use. Without it such
            a field is an error.
        where: place of the value in its file, for these warnings; the caller adds it to errors.

    Raises:
        DataError: not JSON, not UTF-8, or a field of another kind; `Problem.where` is the field's path.
    """
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = bytes(data)
    try:
        return msgspec.json.decode(data := _mended(data, file), type=type)
    except (msgspec.DecodeError, RecursionError) as error:
        failure = error
    value, left_out = eased(msgspec.json.decode(data), type)
    while problems is not None or not left_out:
        try:
            found = msgspec.json.decode(msgspec.json.encode(value), type=type)
        except (msgspec.DecodeError, RecursionError) as error:
            failure = error
            more = without(value, type, _path_of(error))
            if more is None:
                break
            left_out.append(more)
        else:
            if problems is not None:
                problems += (
                    _unused(f"{where}.{place}".lstrip("."), shown, file) for place, shown in left_out
                )
            return found
    message = str(failure).partition(" - at `$")[0]
    message = f"{message[:1].lower()}{message[1:]}."
    remedy = "Export the file again, or correct this field."
    raise fault("bad-field", message, remedy, file, _path_of(failure).lstrip("."))


def _path_of(failure: Exception) -> str:
    """Where in the JSON a decoder fails: ``.shapes[3].label``."""
    return str(failure).partition(" - at `$")[2].rstrip("`")


def _unused(place: str, shown: str, file: str) -> Problem:
    message = (
        f"is {shown}, which is of no use here; no mask needs it, and it is read as if it were not there."
    )
    return Problem("odd-field", message, "", file, place, severity="warning")


def _mended(data: bytes, file: str) -> bytes:
    """The same JSON as strict UTF-8 without NaN and infinities, if Python's more tolerant parser reads it."""
    try:
        encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
        text = data.decode(encoding).lstrip("\ufeff")
        return msgspec.json.encode(json.loads(text, parse_constant=lambda _: None))
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x})"
        remedy = "Save it with UTF-8 encoding."
    except json.JSONDecodeError as error:
        reason = f"is not valid JSON: {error.msg.lower()} in line {error.lineno}, column {error.colno}"
        remedy = "Export it again: it may have been cut off or edited by hand."
    except RecursionError:
        reason, remedy = "is not usable: its lists are nested too deeply", "Export it again."
    except (ValueError, OverflowError) as error:  # lone surrogates, integers of more than 64 bits
        reason, remedy = f"holds text or numbers that cannot be used ({error})", "Export it again."
    raise fault("bad-json", f"{reason}.", remedy, file)


def read(path: Path, type: type[T], problems: list[Problem] | None = None) -> T:
    """A JSON file as a msgspec type; as `decode` otherwise.

    Raises:
        DataError: the file cannot be read, is not JSON, or a field is of another kind.
    """
    return decode(read_bytes(path), type, str(path), problems)


def files_of(
    source: Input, fits: Callable[[Path], bool], problems: list[Problem], beside: Collection[str] = ()
) -> Iterator[Path]:
    """The file given, or those of the folder that are of the format; that there are others is told.

    Args:
        beside: names of files that the format has beside its annotations.
    """
    others = []
    for path in annotation_files(source, (".json",), problems):
        if path == source.polys or fits(path):
            yield path
        elif path.name not in beside:
            others.append(path)
    if others:
        message = f"is one of {len(others)} JSON file(s) that are of another kind and not read."
        problems.append(Problem("other-json", message, "", str(others[0]), severity="note"))


def rows(
    raws: Iterable[msgspec.Raw], type: type[T], file: str, where: str, problems: list[Problem]
) -> list[T]:
    """The rows of a list, each decoded by itself: one that cannot be read is told and left out."""
    return made_of(raws, type, lambda row, _: row, file, where, problems)


def made_of(
    raws: Iterable[msgspec.Raw] | None,
    type: type[T],
    make: Callable[[T, Spot], Made | None],
    file: Path | str,
    where: str,
    problems: list[Problem],
) -> list[Made]:
    """What is made of each row of a list; one that cannot be read, or made anything of, is told and left out.

    Args:
        make: of a row at its place; None for a row that means nothing.
        where: the list in its file.
    """
    found = []
    for index, raw in enumerate(raws or ()):
        with Spot(problems, str(file), f"{where}[{index}]") as place:
            made = make(decode(raw, type, place.file, problems, place.where), place)
            found += [] if made is None else [made]
    return found


def categories_in(paths: Iterable[Path]) -> list[dict[str, object]]:
    """What the ``categories`` of COCO's files say; nothing of files that cannot be read."""
    records: list[dict[str, object]] = []
    for path in paths:
        with Spot([]):
            records += read(path, _Categories).categories
    return records


def names_by_id(rows: Iterable[CocoCategory]) -> dict[Id, str]:
    """The names of COCO's categories by their ids.

    Raises:
        DataError: two of them have the same id: which one is meant where it is used?
    """
    names: dict[Id, str] = {}
    for row in rows:
        if (first := names.setdefault(plain_id(row.id), row.name)) != row.name:
            message = f"has id {row.id!r}, as {first!r} has."
            remedy = "Give each category its own id."
            raise fault("duplicate-category-id", message, remedy, where=f"category {row.name!r}")
    return names


def name_in(names: Mapping[Id, str], category_id: Id) -> str:
    """
    Raises:
        DataError: no category has the id.
    """
    if (name := names.get(plain_id(category_id))) is None:
        message = f"has category_id {category_id!r}, which 'categories' does not list."
        raise fault("unknown-category-id", message, "Add the category or correct the id.")
    return name


class SharedIds:
    """Images of one file that have the same id, as files have that were pasted together without counting
    anew: which of them an annotation means cannot be told."""

    def __init__(self, images: Iterable[CocoImage]) -> None:
        self._names: dict[Id, list[str]] = {}
        for image in images:
            self._names.setdefault(plain_id(image.id), []).append(image.file_name)

    def check(self, image_id: Id) -> None:
        """
        Raises:
            DataError: several images have this id.
        """
        if len(names := self._names.get(plain_id(image_id), [])) > 1:
            message = f"is the id of {' and '.join(map(repr, names[:3]))}; they are left out."
            remedy = "Give each image its own id, and its annotations the same."
            raise fault("duplicate-image-id", message, remedy)


class _Categories(msgspec.Struct):
    categories: list[dict[str, object]] = []


def outline(path: Path) -> tuple[str, set[str]]:
    """How a JSON file begins, cheaply: ``"{"``, ``"["`` or ``""``, and the keys of the outermost objects
    within its first 64 KB (of the list's items, if it is a list)."""
    data = head(path)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    text = data.decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n")
    kind = text[:1] if text[:1] in ("{", "[") else ""
    return kind, set(_keys(text, depth=1 if kind == "{" else 2)) if kind else set()


# Each alternative begins with a character of its own: re then skips the numbers between them quickly.
_TOKEN = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|\[|\]|\{|\}')


@lru_cache(maxsize=32)  # every reader asks for the outlines of the same first few files
def _keys(text: str, depth: int) -> frozenset[str]:
    keys = set()
    level = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "{[":
            level += 1
        elif token[0] in "}]":
            level -= 1
        elif token[2] and level == depth:
            keys.add(token[1])
    return frozenset(keys)


def contains(path: Path, word: bytes) -> bool:
    """Whether the bytes occur in a file, found without reading it into memory."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return view.find(word) >= 0
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
        return False


def plain_id(value: Id) -> Id:
    """An id as it compares: ``"263"`` and ``263.0`` are 263, as a file may write it here and there."""
    if isinstance(value, str) and value.isdecimal() and str(int(value[:18])) == value:
        return int(value)
    return int(value) if isinstance(value, float) and value == int(value) else value


def sentences_in(said: Said) -> Iterator[str]:
    """Sentences as RefCOCO and its like write them: one or some, texts or objects (``raw``, ``sent``)."""
    for sentence in said if isinstance(said, list) else [said]:
        if isinstance(sentence, dict):
            sentence = sentence.get("raw") or sentence.get("sent")
        if isinstance(sentence, str) and sentence.strip():
            yield sentence.strip()


def text_of(value: object) -> str:
    """A label or attribute value as text, numbers included; "" for what is no text."""
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
