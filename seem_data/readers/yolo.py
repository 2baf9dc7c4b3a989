"""YOLO: one text file a photo, a line an object, in fractions of the photo's size.

Format: https://docs.ultralytics.com/datasets/segment/ (``data.yaml``, ``images/…/1.jpg``, ``labels/…/1.txt``)
and Darknet's (``obj.data``, ``obj.names``, lists of photos); without either, a list of names a line
(``classes.txt``, ``obj.names``) beside the labels or above them, as Label Studio, X-AnyLabeling and labelImg
write it. Fractions are of the photo turned upright by its EXIF orientation, as the trainer reads it.

Read: ``class x1 y1 x2 y2 x3 y3 …`` as a polygon (an oriented box is one of four points, told once); ``class
x y width height`` as an upright rectangle, with a note, since a box is not an outline. The splits are the
yaml's train, val and test (folders, lists of photos, or text files of such; a leading ``../`` that leads
nowhere is dropped, as Roboflow's needs, and of a path of another machine the longest end that exists here is
meant). A photo without a label file has no object. Reported: label files without a photo, key points
(``kpt_shape``), class numbers without a name, pixels instead of fractions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from seem_data import images
from seem_data.annotations import ImageAnnotation, Polygon, Region
from seem_data.common.bounded_yaml import YamlError, load_yaml
from seem_data.problems import Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _photos, _shapes, _walk

_YAML = (".yaml", ".yml")
_NAMES = ("classes.txt", "obj.names", "_darknet.labels", "class_names.txt", "labels.txt", "names.txt",
          "predefined_classes.txt")  # fmt: skip
_LINE = re.compile(r"\d+(\.0)?([ \t]+-?\d*\.?\d+(e-?\d+)?){4,}[ \t]*")
_SPLITS = ("train", "val", "valid", "test")


class _Payload(msgspec.Struct):
    names: dict[str, str]


class Yolo:
    name = "yolo"
    title = "YOLO segmentation"
    recognised_by = "a YAML file with 'names', Darknet's obj.data, or classes.txt with label files"
    shapes = "polygons, oriented boxes; upright boxes as rectangles; key points are left out"
    exif = "applied"

    def recognises(self, path: Path) -> bool:
        return _config(path) is not None

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        path = _config(source.polys)
        if path is None:
            raise fault(
                "no-names", "has no data.yaml with 'names', nor classes.txt.", "Add it.", str(source.polys)
            )
        config = _read_config(path)
        if "kpt_shape" in config:
            message = "describes key points (kpt_shape), which outline nothing."
            raise fault("pose", message, "Export the segmentation instead.", str(path))
        names = _names(config, path)
        root = source.polys if source.polys.is_dir() else source.polys.parent
        photos = _photos.Photos(Input(root, source.images or (root if _has_photos(root) else None)))
        payload = msgspec.json.encode(_Payload(names))
        if source.images is not None:
            config = {}  # the splits' paths are of photos elsewhere
        used: set[Path] = set()
        for split, photo in _photos_by_split(config, path, root, photos, problems):
            label = _label_file(photo, root, photos.name_of(photo))
            files = (label,) if label is not None else ()
            used.update(files)
            yield Item(photos.name_of(photo), payload, photo, label or photo, split, files)
        problems += _about(root, used)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        names = _json.decode(item.content, _Payload, str(item.source)).names
        annotation = item.annotation(exif="applied")
        size = images.read_header(annotation.image).size("applied")
        text = _walk.read_text(item.files[0]) if item.files else ""
        boxes = 0
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.split()
            if words:
                with Spot(problems, str(item.source), f"line {number}"):
                    annotation.regions.append(_region(words, names, size, f"line {number}"))
                    boxes += len(words) == 5
        if boxes:
            message = f"has {boxes} upright box(es), read as filled rectangles."
            remedy = "Use segmentation labels for outlines."
            problems.append(Problem("boxes", message, remedy, str(item.source), severity="note"))
        return annotation


def _config(path: Path) -> Path | None:
    """The file that names the classes: a YAML file with 'names', or Darknet's."""
    if path.is_file():
        fits = path.name == "obj.data" or path.suffix.lower() in _YAML
        return path if fits or (path.name in _NAMES and _is_labelled(path.parent)) else None
    if not path.is_dir():
        return None
    for file in sorted(path.iterdir()):
        if file.suffix.lower() in _YAML and re.search(r"(?m)^\s*['\"]?names['\"]?\s*:", _head(file)):
            return file
    darknet = path / "obj.data"
    if darknet.is_file():
        return darknet
    folders = [path, path / "labels", *([path.parent] if path.name == "labels" else [])]
    folders += sorted(folder for folder in path.iterdir() if folder.is_dir())
    lists = (folder / name for folder in folders for name in _NAMES)
    found = next((file for file in lists if _walk.is_file(file)), None)
    return found if found is not None and _is_labelled(path) else None


def _is_labelled(folder: Path) -> bool:
    """Whether a few of the text files are lines of a class and numbers."""
    return any(map(_is_label_file, _walk.first_files(folder, (".txt",))))


def _is_label_file(path: Path) -> bool:
    line = next((line for line in _head(path).splitlines() if line.strip()), "")
    return path.name not in _NAMES and _LINE.fullmatch(line.strip()) is not None


def _has_photos(root: Path) -> bool:
    return next(_walk.walk(root, images.SUFFIXES, ordered=False), None) is not None


def _about(root: Path, used: set[Path]) -> Iterator[Problem]:
    """What there is to tell of all label files: those of no photo, and that boxes are turned."""
    lost = [path for path in _walk.walk(root, (".txt",)) if path not in used and _is_label_file(path)]
    if lost:
        message = f"is one of {len(lost)} label file(s) that belong to no photo read, and is left out."
        remedy = "Put the photo into the folder that answers it: images/a.jpg for labels/a.txt."
        yield Problem("missing-image", message, remedy, str(lost[0]))
    some = [line.split() for path in sorted(used)[:20] for line in _head(path).splitlines() if line.strip()]
    if {9} <= {len(words) for words in some} <= {5, 9}:  # with upright boxes among them, or not
        message = "holds lines of 8 numbers each, oriented boxes: they are read as polygons of 4 points."
        yield Problem("oriented-boxes", message, "", str(root), severity="note")


def _head(path: Path) -> str:
    return _walk.head(path, 1 << 20).decode("utf-8-sig", errors="ignore")


def _read_config(path: Path) -> dict[str, object]:
    if path.name in _NAMES:
        return {"names": [line.strip() for line in _walk.read_text(path).splitlines()]}
    if path.name == "obj.data":
        pairs = (line.split("=", 1) for line in _walk.read_text(path).splitlines() if "=" in line)
        entries = {key.strip(): value.strip() for key, value in pairs}
        names = images.resolve_inside(path.parent, Path(entries.get("names", "")).name or "obj.names")
        return {**entries, "names": _walk.read_text(names).split("\n")}
    try:
        config = load_yaml(_walk.read_text(path))
    except YamlError as error:
        line = f"line {error.line}" if error.line else ""
        raise fault("bad-yaml", f"is no YAML ({error}).", "Correct it.", str(path), line) from None
    if not isinstance(config, dict):
        needs = "It needs 'names' and 'train'."
        raise fault("bad-yaml", "holds no keys.", needs, str(path))
    return config


def _names(config: dict[str, object], path: Path) -> dict[str, str]:
    names = config.get("names")
    pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    if isinstance(names, dict) and names and all(isinstance(number, int) for number in names.values()):
        pairs = ((number, name) for name, number in names.items())  # the other way round: {cup: 0}
    known = {str(number): str(name).strip() for number, name in pairs if str(name).strip()}
    if not known:
        raise fault("no-names", "has no list of class names.", "Add 'names: [cat, dog]'.", str(path), "names")
    return known


def _photos_by_split(
    config: dict[str, object], path: Path, root: Path, photos: _photos.Photos, problems: list[Problem]
) -> Iterator[tuple[str | None, Path]]:
    """Split and photo. Without usable split entries: every photo below the root."""
    told = [key for key in _SPLITS if config.get(key)]
    for key in told:
        value = config[key]
        entries = value if isinstance(value, list) else [value]
        for index, entry in enumerate(entries):
            with Spot(problems, str(path), f"{key}[{index}]"):
                for photo in _photos_of(str(entry), config, root, photos, problems):
                    yield _walk.split_by_word(key), photo
    if not told:
        for photo in _walk.walk(photos.root, images.SUFFIXES, problems):
            yield _walk.split_by_folder(photos.name_of(photo)), photo


def _photos_of(
    entry: str, config: dict[str, object], root: Path, photos: _photos.Photos, problems: list[Problem]
) -> Iterator[Path]:
    """The photos that one entry means: a folder, a photo, or a text file with one photo a line."""
    base, entry = str(config.get("path") or "").replace("\\", "/"), entry.replace("\\", "/")
    inner = re.sub(r"^(\.\./)+|^data/", "", entry)
    places = [
        root / base / entry,
        root / entry,
        root / inner,
        *_tails(root, entry),
        *_tails(root, f"{base}/{entry}"),
    ]
    for place in places:
        if not _lies_in(place, root) or not os.path.exists(place):  # noqa: PTH110  (false for impossible names)
            continue
        if place.is_absolute() and not root.is_absolute():
            place = root / place.relative_to(os.path.abspath(root))  # noqa: PTH100
        if place.is_dir():
            yield from _walk.walk(place, images.SUFFIXES, problems)
        elif place.suffix.lower() == ".txt":
            for line in _walk.read_text(place).splitlines():
                if line.strip():
                    with Spot(problems, str(place), repr(line.strip())):
                        yield photos.find(line.strip(), place.parent)
        else:
            yield place
        return
    message = f"names {entry!r}, which is not in {root}."
    raise fault("missing-folder", message, "Correct the path; it is relative to this file.")


def _lies_in(place: Path, root: Path) -> bool:
    """Whether the path does not climb out of the root; links that the user put there may lead anywhere."""
    return Path(os.path.abspath(place)).is_relative_to(os.path.abspath(root))  # noqa: PTH100  (keeps links)


def _tails(root: Path, path: str) -> Iterator[Path]:
    """The ends of a path of another machine, below the root, the longest first."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    yield from (root.joinpath(*parts[start:]) for start in range(1, len(parts)))


def _label_file(photo: Path, root: Path, name: str) -> Path | None:
    """The photo's text file: in the folder ``labels`` that answers its ``images``, beside it, or at its place
    below the root or the root's ``labels``."""
    parts = photo.parts
    answers = [
        Path(*parts[:place], "labels", *parts[place + 1 :])
        for place in range(len(parts) - 2, len(root.parts) - 1, -1)
        if parts[place] == "images"
    ]
    found = (*answers, photo, root / "labels" / name, root / name, root / "labels" / photo.name)
    return next((file for path in found if _walk.is_file(file := path.with_suffix(".txt"))), None)


def _region(words: list[str], names: dict[str, str], size: tuple[int, int], where: str) -> Region:
    number = words[0].removesuffix(".0")
    try:
        values = [float(word) for word in words[1:]]
    except ValueError:
        raise fault("bad-line", f"is no line of numbers: {' '.join(words)[:40]!r}.", "Correct it.") from None
    if number not in names:
        known = f"names has {len(names)} entries"
        raise fault("unknown-class", f"is of class {number!r}, but {known}.", "Add the name.")
    if any(abs(value) > 2 for value in values):
        message = f"has the coordinate {max(values, key=abs):g}, but YOLO's are fractions from 0 to 1."
        raise fault("not-fractions", message, "Divide x by the width and y by the height.")
    width, height = size
    if len(values) == 4:
        x, y, w, h = values
        box = _shapes.rectangle(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        return Region(names[number], (Polygon(box.outer * (width, height)),), where=where)
    if len(values) < 6 or len(values) % 2:
        message = f"has {len(values)} numbers after the class: neither a box (4) nor a polygon (6, 8, …)."
        raise fault("bad-line", message, "Export it again.")
    return Region(names[number], (Polygon(_shapes.flat_ring(values) * (width, height)),), where=where)


READER = Yolo()
