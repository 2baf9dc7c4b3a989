"""Pascal VOC segmentation: painted PNGs beside the photos.

Format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc_07-Jun-2012.pdf, section 3. The photos lie
in ``JPEGImages``, their classes in ``SegmentationClass`` and their objects in ``SegmentationObject``, as PNGs
with VOC's palette or in RGB; photos and masks are pixels as stored (no EXIF).

Read: each object as one bitmap, and what has a class but no object as one bitmap a class. Classes are those
of ``labelmap.txt`` (``name:r,g,b:parts:actions``), of labelme2voc's ``class_names.txt``, or VOC's twenty;
grey and 16-bit PNGs, and palettes in colours of no class, hold their numbers. The colour (224, 224, 192),
number 255, is void, black the unlabelled ground. labelme2voc's folders ``SegmentationClassPNG`` and
``SegmentationObjectPNG`` are read where the plain ones hold no PNG. ``ImageSets/Segmentation/*.txt`` give
the splits; without lists every mask is read. Reported: listed photos that do not exist or have no mask;
colours of no class. Boxes (``Annotations/*.xml``) are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from seem_data.annotations import VOID, ImageAnnotation, Region
from seem_data.common.colors import Color
from seem_data.images import read_header, resolve_inside
from seem_data.problems import Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _paint, _photos, _tables, _walk, _xml

_CLASSES = ("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
            "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
            "train", "tvmonitor")  # fmt: skip
_CLASS_FOLDERS = ("SegmentationClass", "SegmentationClassPNG")
_OBJECT_FOLDERS = ("SegmentationObject", "SegmentationObjectPNG")


class _Payload(msgspec.Struct):
    classes: list[tuple[str, Color]]


class Voc:
    name = "voc"
    title = "Pascal VOC segmentation"
    recognised_by = "a folder SegmentationClass, or XML files whose root is 'annotation'"
    shapes = "painted classes and objects; boxes are left out"
    exif = "ignored"

    def recognises(self, path: Path) -> bool:
        if path.is_dir() and next(_roots(path), None) is not None:
            return True
        xml = _walk.first_files(path, (".xml",))
        return any(re.search(r"<annotation[\s/>]", _xml.head(file)) for file in xml)

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        roots = list(_roots(source.polys)) if source.polys.is_dir() else []
        if not roots:
            message = "has no folder SegmentationClass; VOC's boxes do not tell which pixels are meant."
            remedy = "Name the folder that holds SegmentationClass and JPEGImages."
            raise fault("no-segmentation", message, remedy, str(source.polys))
        for root in roots:
            with Spot(problems, str(root)):
                own = root / "JPEGImages"
                photos = _photos.Photos(Input(root, source.images or (own if own.is_dir() else None)))
                payload = msgspec.json.encode(_Payload(_classes(root)))
                prefix = f"{root.name}/" if len(roots) > 1 else ""
                for stem, split, listed in _listed(root, problems):
                    with Spot(problems, str(listed), "" if listed.suffix == ".png" else repr(stem)):
                        yield _item(root, stem, split, photos, payload, prefix)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        classes = _json.decode(item.content, _Payload, str(item.source)).classes
        painted = item.files[0]
        values, strangers = _read_classes(painted, classes)
        if strangers:
            message = (
                f"has {sum(count for _, count in strangers)} pixels in colours of no class, first "
                f"{list(strangers[0][0])}; they count as unlabelled."
            )
            remedy = "List the colour in labelmap.txt."
            problems.append(Problem("unknown-color", message, remedy, str(painted), severity="warning"))
        height, width = values.shape
        annotation = item.annotation((width, height))
        objects = np.zeros_like(values)
        for file in item.files[1:]:
            objects = _read_objects(file)
            if objects.shape != values.shape:
                message = f"has {objects.shape[1]}×{objects.shape[0]} pixels, but {painted} {width}×{height}."
                raise fault("size-mismatch", message, "Export both again.", str(file))
            if lost := int(((objects > 0) & (values == 0)).sum()):
                message = (
                    f"has {lost} pixels of objects without a class in {painted}; they count as unlabelled."
                )
                remedy = "Paint both alike."
                problems.append(Problem("no-class", message, remedy, str(file), severity="warning"))
        pairs = values.astype(np.int64) << 24 | objects
        for pair in np.unique(pairs[values > 0]).tolist():
            value, code = pair >> 24, pair & 0xFFFFFF
            label = VOID if value > len(classes) else classes[value - 1][0]
            where = f"object {list(_paint.colour_of(code))}" if code else f"class {label}"
            annotation.regions.append(Region(label, (_paint.cut(pairs, pair),), where=where))
        return annotation


def _item(
    root: Path, stem: str, split: str | None, photos: _photos.Photos, payload: bytes, prefix: str
) -> Item:
    classes = resolve_inside(_folder(root, _CLASS_FOLDERS), f"{stem}.png")
    photo = photos.find_like(classes, Path(stem))
    if not _walk.is_file(classes):
        message = f"is listed, but there is no {classes}."
        raise fault("no-mask", message, "Paint it, or take it off the list.", severity="warning")
    objects = _folder(root, _OBJECT_FOLDERS) / f"{stem}.png"
    files = (classes, objects) if _walk.is_file(objects) else (classes,)
    name = prefix + photos.name_of(photo)
    return Item(name, payload, photo, classes, split, files)


def _roots(path: Path) -> Iterator[Path]:
    """The folders that hold SegmentationClass: the one given, or up to two below (VOCdevkit/VOC2012)."""
    for place in ("", "*/", "*/*/"):
        folders = (folder for name in _CLASS_FOLDERS for folder in path.glob(place + name) if folder.is_dir())
        yield from sorted({folder.parent for folder in folders})


def _folder(root: Path, names: tuple[str, ...]) -> Path:
    """The first of these folders that holds a PNG (labelme2voc keeps arrays in the plain one)."""
    folders = [root / name for name in names]
    return next((folder for folder in folders if next(folder.rglob("*.png"), None)), folders[0])


def _classes(root: Path) -> list[tuple[str, Color]]:
    """Names and colours in the order of their numbers, from 1 on; number 0 is the unlabelled ground."""
    labelmap, names = root / "labelmap.txt", root / "class_names.txt"
    if labelmap.is_file():
        classes = _tables.colored_names(labelmap)
        return [(name, color) for name, color in classes if color not in ((0, 0, 0), _tables.VOC_VOID)]
    found: list[str] = _tables.names_in(names) if names.is_file() else list(_CLASSES)
    if found[:1] and not _tables.is_nothing(found[0]):
        found.insert(0, "")  # a list that does not name the ground: its first class is number 1
    return [(name, _palette(number)) for number, name in enumerate(found)][1:]


def _palette(number: int) -> Color:
    """VOC's colour of a number: its bits dealt out to the highest bits of red, green and blue in turn."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


def _listed(root: Path, problems: list[Problem]) -> Iterator[tuple[str, str | None, Path]]:
    """Path without ending, split and where it is listed, of all photos of the lists, or of all masks without
    lists. CVAT and Datumaro list the folders of photos, too, and put names with spaces into quotes."""
    lists = sorted((root / "ImageSets" / "Segmentation").glob("*.txt"))
    if len(lists) > 1:
        lists = [path for path in lists if path.stem.lower() != "trainval"]
    if not lists:
        folder = _folder(root, _CLASS_FOLDERS)
        for path in _walk.walk(folder, (".png",), problems):
            yield path.relative_to(folder).with_suffix("").as_posix(), None, path
    for path in lists:
        with Spot(problems, str(path)):
            for line in _walk.read_text(path).splitlines():
                if words := re.findall(r'"([^"]+)"|(\S+)', line):
                    yield "".join(words[0]), _walk.split_by_name(path), path


def _read_classes(path: Path, classes: list[tuple[str, Color]]) -> tuple[np.ndarray, list[tuple[Color, int]]]:
    """The class of each pixel from 1 on (void: one more than there are), and the colours of none."""
    table = {color: number for number, (_, color) in enumerate(classes, start=1)}
    table[_tables.VOC_VOID] = void = len(classes) + 1
    numbers = _paint.read_numbers(path)
    if numbers is None or not _are_numbers(path, numbers, table):
        return _paint.match(_paint.read_codes(path), table)
    most = 65535 if numbers.dtype == np.int32 else 255
    values = numbers.astype(np.int32)
    unknown = (values >= void) & (values != most)
    strangers, counts = np.unique(values[unknown], return_counts=True)
    values = np.where(unknown, 0, np.where(values == most, void, values))
    return values, [((n & 255,) * 3, c) for n, c in zip(strangers.tolist(), counts.tolist(), strict=True)]


def _are_numbers(path: Path, numbers: np.ndarray, table: dict[Color, int]) -> bool:
    """Whether a mask is to be read by number: it is grey, or its palette has no colour of a class."""
    if read_header(path).mode != "P" or numbers.dtype == np.int32:
        return True
    used = {_paint.colour_of(code) for code in np.unique(_paint.read_codes(path)).tolist()} - {(0, 0, 0)}
    return bool(used) and not used & table.keys()


def _read_objects(path: Path) -> np.ndarray:
    """Numbers of the objects, 0 where there is none; borders belong to none. Those of a palette or of colours
    are the codes of their colours."""
    numbers = _paint.read_numbers(path)
    if numbers is None or read_header(path).mode == "P":
        codes = _paint.read_codes(path)
        return np.where(codes == _paint.code_of(_tables.VOC_VOID), 0, codes)
    if numbers.dtype == np.int32:
        return np.where(numbers == 65535, 0, numbers)
    codes = _paint.read_codes(path)
    return np.where(codes == 0xFFFFFF, 0, codes)


READER = Voc()
