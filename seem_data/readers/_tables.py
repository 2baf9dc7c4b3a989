"""Which category a number or a colour of a mask means: tables beside masks, and well-known ones.

Roboflow's ``_classes.csv``; lists of names a line (labelme2voc's ``class_names.txt``, ``labels.txt``,
``classes.txt``, ``codes.txt``), where ``__ignore__`` in the first line is no number; CVAT's ``labelmap.txt``
and CamVid's ``label_colors.txt`` and ``class_dict.csv``, which give colours; ADE20K's ``objectInfo150.txt``.
Without a file, Cityscapes' and ADE20K's masks are known by their names.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from seem_data.annotations import UNLABELED, VOID
from seem_data.common.colors import Color
from seem_data.problems import fault
from seem_data.readers import _walk

CITYSCAPES = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground",
    "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge",
    "tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky",
    "person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
#: What is nothing to see in Cityscapes: parts of the car that took the photo, and of its lens.
CITYSCAPES_VOID = CITYSCAPES[:4]
#: The colour of borders in Pascal VOC's masks.
VOC_VOID: Color = (224, 224, 192)
_TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CITYSCAPES_COLORS: dict[Color, str] = {
    (111, 74, 0): "dynamic", (81, 0, 81): "ground", (128, 64, 128): "road", (244, 35, 232): "sidewalk",
    (250, 170, 160): "parking", (230, 150, 140): "rail track", (70, 70, 70): "building", (102, 102,
    156): "wall", (190, 153, 153): "fence", (180, 165, 180): "guard rail", (150, 100, 100): "bridge",
    (150, 120, 90): "tunnel", (153, 153, 153): "pole", (250, 170, 30): "traffic light", (220, 220, 0):
    "traffic sign", (107, 142, 35): "vegetation", (152, 251, 152): "terrain", (70, 130, 180): "sky",
    (220, 20, 60): "person", (255, 0, 0): "rider", (0, 0, 142): "car", (0, 0, 70): "truck", (0, 60,
    100): "bus", (0, 0, 90): "caravan", (0, 0, 110): "trailer", (0, 80, 100): "train", (0, 0, 230):
    "motorcycle", (119, 11, 32): "bicycle",
}  # fmt: skip
_ADE20K = (
    "wall,building,sky,floor,tree,ceiling,road,bed,windowpane,grass,cabinet,sidewalk,person,earth,door,"
    "table,mountain,plant,curtain,chair,car,water,painting,sofa,shelf,house,sea,mirror,rug,field,"
    "armchair,seat,fence,desk,rock,wardrobe,lamp,bathtub,railing,cushion,base,box,column,signboard,"
    "chest of drawers,counter,sand,sink,skyscraper,fireplace,refrigerator,grandstand,path,stairs,"
    "runway,case,pool table,pillow,screen door,stairway,river,bridge,bookcase,blind,coffee table,"
    "toilet,flower,book,hill,bench,countertop,stove,palm,kitchen island,computer,swivel chair,boat,bar,"
    "arcade machine,hovel,bus,towel,light,truck,tower,chandelier,awning,streetlight,booth,"
    "television receiver,airplane,dirt track,apparel,pole,land,bannister,escalator,ottoman,bottle,"
    "buffet,poster,stage,van,ship,fountain,conveyer belt,canopy,washer,plaything,swimming pool,stool,"
    "barrel,basket,waterfall,tent,bag,minibike,cradle,oven,ball,food,step,tank,trade name,microwave,"
    "pot,animal,bicycle,lake,dishwasher,screen,blanket,sculpture,hood,sconce,vase,traffic light,tray,"
    "ashcan,fan,pier,crt screen,plate,monitor,bulletin board,shower,radiator,glass,clock,flag"
)
_LISTS = ("class_names.txt", "labels.txt", "classes.txt", "class.txt", "codes.txt", "obj.names")
_NOTHING = ("background", "_background_", "unlabeled", "unlabelled", "void", "ignore", "__ignore__", "other")
_COLOR_LINE = re.compile(r"([^:#]+):\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(:|$)")
_NUMBER_FIRST = re.compile(r"(\d{1,5})\s*[:,;=\t]\s*(\S.*)")
_COLORS_FIRST = re.compile(r"\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\S.*)")


class NameTable(msgspec.Struct):
    """What numbers and colours of masks mean.

    Attributes:
        numbers: number ─▶ label; those left out are unlabelled ground, 255 (65535) is void.
        colors: (colour, label) pairs.
        instances: numbers from 1000 on are objects: category · 1000 + a count.
    """

    numbers: dict[int, str] = {}
    colors: list[tuple[Color, str]] = []
    instances: bool = False

    @property
    def by_color(self) -> dict[Color, str]:
        return dict(self.colors)


def is_nothing(name: str) -> bool:
    """Whether a name in a table means the unlabelled ground."""
    return name.strip().casefold() in _NOTHING


def beside(folders: Iterable[Path]) -> NameTable | None:
    """The table in the first of the folders that has one.

    Raises:
        DataError: it cannot be read.
    """
    for folder in folders:
        for name, read in _READERS.items():
            path = folder / name
            if _walk.is_file(path):
                return read(path)
    return None


def by_name(mask: Path) -> NameTable | None:
    """The well-known table of a mask of Cityscapes or ADE20K."""
    stem = mask.stem.casefold()
    if stem.endswith(("instanceids", "labelids", "labeltrainids", "gtfine_color", "gtcoarse_color")):
        names = [VOID if name in CITYSCAPES_VOID[1:] else name for name in CITYSCAPES]
        if stem.endswith("labeltrainids"):
            names = [CITYSCAPES[number] for number in _TRAINED]
        return NameTable(
            _numbered(names), list(_CITYSCAPES_COLORS.items()), instances=stem.endswith("instanceids")
        )
    if re.match(r"ade_(train|val)_\d+$", stem):
        return NameTable(dict(enumerate(_ADE20K.split(","), start=1)))
    return None


def _numbered(names: Iterable[str], first: int = 0) -> dict[int, str]:
    """Names by their numbers; of the ground nobody labelled only the number 0, and what is void."""
    found = {}
    for number, name in enumerate(names, start=first):
        name = name.strip()
        if name and number >= 0 and not (number == 0 and is_nothing(name)):
            found[number] = VOID if name == "__ignore__" else UNLABELED if name == "_background_" else name
    return found


def names_in(path: Path) -> list[str]:
    """The names of a list, a line each; ``__ignore__`` in the first line is no number and left out."""
    names = [line.strip() for line in _walk.read_text(path).splitlines()]
    while names and not names[-1]:
        names.pop()
    return names[1:] if names[:1] == ["__ignore__"] else names


def _of_list(path: Path) -> NameTable:
    names = names_in(path)
    told = [_NUMBER_FIRST.fullmatch(name) for name in names if name]
    if told and all(told):  # lines that say their number
        pairs = [(int(match[1]), match[2]) for match in told if match]
        return NameTable({number: name for number, name in pairs if number or not is_nothing(name)})
    return NameTable(_numbered(names))


def _of_roboflow(path: Path) -> NameTable:
    """``Pixel Value, Class`` and a line for each."""
    numbers = {}
    for row in csv.reader(_walk.read_text(path).splitlines()):
        if len(row) >= 2 and row[0].strip().isdecimal():
            number, name = int(row[0]), row[1].strip()
            if name and not (number == 0 and is_nothing(name)):
                numbers[number] = name
    if not numbers:
        message = "names no category: it needs lines such as '1, cat'."
        raise fault("bad-table", message, "Export the dataset again.", str(path))
    return NameTable(numbers)


def colored_names(path: Path) -> Iterator[tuple[str, Color]]:
    """The names and colours of a ``labelmap.txt``: ``name:r,g,b:parts:actions``."""
    for line in _walk.read_text(path).splitlines():
        if match := _COLOR_LINE.match(line.strip()):
            yield match[1].strip(), _color(match.groups()[1:])


def _of_labelmap(path: Path) -> NameTable:
    rows = list(colored_names(path))
    colors = [(color, name) for name, color in rows if color != (0, 0, 0) and not is_nothing(name)]
    return NameTable(_numbered(name for name, _ in rows), colors)


def _of_color_lines(path: Path) -> NameTable:
    """``64 128 64  Animal``."""
    matches = filter(None, map(_COLORS_FIRST.match, _walk.read_text(path).splitlines()))
    return _of_colors([(_color(match.groups()), match[4].strip()) for match in matches])


def _of_class_dict(path: Path) -> NameTable:
    """``name,r,g,b``."""
    rows = []
    for row in csv.reader(_walk.read_text(path).splitlines()):
        if len(row) >= 4 and all(cell.strip().isdecimal() for cell in row[1:4]):
            rows.append((_color(row[1:4]), row[0].strip()))
    return _of_colors(rows)


def _of_colors(rows: list[tuple[Color, str]]) -> NameTable:
    return NameTable(_numbered(name for _, name in rows), [row for row in rows if row[0] != (0, 0, 0)])


def _color(channels: Sequence[str]) -> Color:
    """Of numbers that may be too large the lower eight bits."""
    return int(channels[0]) & 255, int(channels[1]) & 255, int(channels[2]) & 255


def _of_object_info(path: Path) -> NameTable:
    """ADE20K's columns Idx, Ratio, Train, Val, (Stuff,) Name, of which the first name of several counts."""
    numbers = {}
    for line in _walk.read_text(path).splitlines():
        cells = re.split(r"\t|,(?=\S)", line) if "\t" in line else next(csv.reader([line]), [])
        if len(cells) > 2 and cells[0].strip().isdecimal():
            numbers[int(cells[0])] = re.split(r"[,;]", cells[-1])[0].strip()
    return NameTable(numbers)


_READERS = {
    "_classes.csv": _of_roboflow,
    "labelmap.txt": _of_labelmap,
    "label_colors.txt": _of_color_lines,
    "class_dict.csv": _of_class_dict,
    "class_dict_seg.csv": _of_class_dict,
    "objectInfo150.txt": _of_object_info,
    "objectInfo150.csv": _of_object_info,
    **dict.fromkeys(_LISTS, _of_list),
}
