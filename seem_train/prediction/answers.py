"""What a `Predictor` answers: masks at the photo's own size, with names and scores; drawn and saved.

Photos are RGB [H, W, 3] uint8; coordinates are (x, y) pixels of the photo from its top left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from seem_data.common.colors import distinct_colors
from seem_data.common.files import write_json
from seem_data.layout import ImageRecord, clean_name
from seem_train.errors import UserError
from seem_train.files import make_folder, write_image
from seem_train.metrics.instance import RunLengths, counts_text
from seem_train.model.postprocess import PanopticSegment
from seem_train.output import draw
from seem_train.output.panoptic_files import PanopticFiles
from seem_train.prediction.vocabulary import Category

_NOTEBOOK = 1024  #: longer side of pictures in notebooks
PICTURES = (".png", ".jpg", ".jpeg", ".webp")  #: what `save` takes for the name of a picture


@dataclass(frozen=True)
class Prediction:
    """What all kinds of answers share."""

    photo: np.ndarray = field(repr=False)  #: [H, W, 3] uint8
    categories: tuple[Category, ...] = field(repr=False)  #: what was asked for; indices point into it
    file_name: str = "image.png"  #: of the photo, for what is saved

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.photo.shape[0], self.photo.shape[1]

    def draw(self, longest: int | None = None) -> np.ndarray:
        """The photo with regions, outlines and names on it, [H, W, 3] uint8.

        Args:
            longest: make the longer side at most so many pixels, for a look at a large photo.
        """
        photo = draw.at_most(self.photo, longest) if longest else self.photo
        return draw.overlay(photo, self._regions((photo.shape[0], photo.shape[1])))

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows."""
        _, png = cv2.imencode(".png", self.draw(longest=_NOTEBOOK)[..., ::-1])
        return png.tobytes()

    def save(self, path: str | Path) -> Path:
        """A picture, if `path` ends like one (.png, .jpg, .webp); else a folder that gets COCO files.

        Returns:
            the picture, or the folder.

        Raises:
            UserError: it cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() in PICTURES:
            write_image(path, self.draw())
        elif path.suffix:
            raise UserError(
                f"{path}: give a picture's name ({', '.join(PICTURES)}), or a folder without a dot"
            )
        else:
            self._save_coco(path)
        return path

    def record(self, image_id: int = 1) -> ImageRecord:
        """The photo as a row of COCO files."""
        png = Path(self.file_name).with_suffix(".png").as_posix()
        return ImageRecord(image_id, self.file_name, self.size[1], self.size[0], png, ())

    def _regions(self, size: tuple[int, int]) -> list[draw.Tinted]:
        raise NotImplementedError

    def _save_coco(self, folder: Path) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Panoptic(Prediction):
    """Every pixel belongs to one segment, or to none."""

    id_map: np.ndarray = field(kw_only=True, repr=False)  #: [H, W] int32: `id` of a segment, 0 = none
    segments: list[PanopticSegment] = field(kw_only=True)
    #: least score of a segment, and the greatest that any mask has for a category, also below it
    object_threshold: float = field(kw_only=True, default=0.0)
    best_score: float = field(kw_only=True, default=0.0)

    def name(self, segment: PanopticSegment) -> str:
        return self.categories[segment.category_index].name

    def mask(self, segment: PanopticSegment) -> np.ndarray:
        """[H, W] bool."""
        return self.id_map == segment.id

    def _regions(self, size: tuple[int, int]) -> list[draw.Tinted]:
        segments = [
            (s.id, self.categories[s.category_index], clean_name(self.name(s))) for s in self.segments
        ]
        return draw.panoptic_regions(_scaled(self.id_map, size), segments)

    def _save_coco(self, folder: Path) -> None:
        """panoptic.json and panoptic/*.png."""
        files = PanopticFiles(folder, self.categories)
        files.finish([files.write(self.record(), self.id_map, self.segments)])


@dataclass(frozen=True)
class Semantic(Prediction):
    """Every pixel has one category."""

    labels: np.ndarray = field(kw_only=True, repr=False)  #: [H, W] int32 index into `categories`

    @cached_property
    def areas(self) -> dict[str, int]:
        """Pixels of each category that occurs, most first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.categories))
        order = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
        return {self.categories[index].name: int(counts[index]) for index in order}

    def _regions(self, size: tuple[int, int]) -> list[draw.Tinted]:
        labels = _scaled(self.labels, size)
        return [
            draw.Tinted(
                labels == index, self.categories[index].color, clean_name(self.categories[index].name)
            )
            for index in np.unique(labels)
        ]

    def _save_coco(self, folder: Path) -> None:
        """semantic/*.png (pixel = category index, 16 bit above 255 categories) and categories.json."""
        write_labels(folder / "semantic" / self.record().panoptic_name, self.labels, len(self.categories))
        write_categories(folder, self.categories)


@dataclass(frozen=True)
class Objects(Prediction):
    """N masks, each with a category and a score; they may overlap."""

    encoded: list[RunLengths] = field(kw_only=True, repr=False)  #: N compressed COCO RLEs, exact
    category_index: np.ndarray = field(kw_only=True)  #: [N] int
    scores: np.ndarray = field(kw_only=True)  #: [N] float32, 0 to 1

    def __len__(self) -> int:
        return len(self.encoded)

    @property
    def names(self) -> list[str]:
        """N names."""
        return [self.categories[index].name for index in self.category_index]

    @cached_property
    def masks(self) -> np.ndarray:
        """[N, H, W] bool; `mask` gives one alone, which is lighter."""
        if not self.encoded:
            return np.zeros((0, *self.size), bool)
        return np.stack([self.mask(index) for index in range(len(self))])

    def mask(self, index: int) -> np.ndarray:
        """[H, W] bool."""
        return coco_mask.decode(self.encoded[index]).astype(bool)

    @cached_property
    def areas(self) -> np.ndarray:
        """[N] pixels."""
        # One by one: pycocotools counts those of a list in a byte.
        return np.array([coco_mask.area(one) for one in self.encoded], np.int64)

    @cached_property
    def boxes(self) -> np.ndarray:
        """[N, 4] left, top, right, bottom; the right and bottom edge are outside."""
        boxes = np.array([coco_mask.toBbox(one) for one in self.encoded], np.float64).reshape(-1, 4)
        return np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1)

    def polygons(self, index: int) -> list[list[list[int]]]:
        """Outlines of one mask, each [[x, y], …] along pixel edges; holes are filled (`encoded` is exact)."""
        return outlines(self.mask(index))

    def as_coco(self, image_id: int = 1) -> list[dict[str, object]]:
        """COCO annotations without `id`, with `score`."""
        rows = []
        for index, encoded in enumerate(self.encoded):
            left, top, right, bottom = self.boxes[index].tolist()
            rows.append(
                {
                    "image_id": image_id,
                    "category_id": self.categories[self.category_index[index]].id,
                    "segmentation": {"size": encoded["size"], "counts": counts_text(encoded)},
                    "area": int(self.areas[index]),
                    "bbox": [left, top, right - left, bottom - top],
                    "iscrowd": 0,
                    "score": round(float(self.scores[index]), 6),
                }
            )
        return rows

    def best(self, min_score: float) -> Objects:
        """Those that score at least so much."""
        return self.chosen(np.flatnonzero(self.scores >= min_score))

    def chosen(self, places: Sequence[int] | np.ndarray) -> Objects:
        """Those at these places."""
        places = np.asarray(places, np.int64)
        encoded = [self.encoded[place] for place in places]
        return replace(
            self, encoded=encoded, category_index=self.category_index[places], scores=self.scores[places]
        )

    def detections(self) -> dict[str, np.ndarray | dict[str, np.ndarray]]:
        """Plain arrays as `supervision.Detections` takes them: ``sv.Detections(**objects.detections())``.

        `xyxy` [N, 4], `mask` [N, H, W] bool, `confidence` [N], `class_id` [N] (the category's id), and `data`
        with the names, as `class_name`.
        """
        ids = [self.categories[index].id for index in self.category_index]
        return {
            "xyxy": self.boxes.astype(np.float32),
            "mask": self.masks,
            "confidence": self.scores.astype(np.float32),
            "class_id": np.array(ids, np.int64),
            "data": {"class_name": np.array(self.names, str)},
        }

    def without_photo(self) -> Objects:
        """A light copy that cannot be drawn, for lists over many photos."""
        return replace(self, photo=np.broadcast_to(np.uint8(0), self.photo.shape))

    def _regions(self, size: tuple[int, int]) -> list[draw.Tinted]:
        """The best on top, in the colours of their categories; if all are of one, in colours far apart."""
        alone = len(set(self.category_index.tolist())) == 1 and len(self) > 1
        made_up = distinct_colors(len(self) if alone else 0)
        seen: dict[int, int] = {}
        regions = []
        for index in np.argsort(-self.scores, kind="stable").tolist():
            category = self.categories[self.category_index[index]]
            number = seen[category.id] = seen.get(category.id, -1) + 1
            color = made_up[number] if alone else draw.shade(category.color, number)
            label = f"{clean_name(category.name)} {self.scores[index]:.2f}"
            regions.append(draw.Tinted(_scaled(self.mask(index), size), color, label))
        return regions[::-1]

    def _save_coco(self, folder: Path) -> None:
        """objects.json."""
        write_objects(folder / "objects.json", [(self.record(), self)])


def write_objects(path: Path, answers: Sequence[tuple[ImageRecord, Objects]]) -> None:
    """A COCO file of the objects of many photos; a category is known by its name."""
    categories: dict[str, Category] = {}
    rows: list[dict[str, object]] = []
    for record, objects in answers:
        for index in set(objects.category_index.tolist()):
            categories.setdefault(objects.categories[index].name, objects.categories[index])
        rows += objects.as_coco(record.id)
    for number, row in enumerate(rows, start=1):
        row["id"] = number
    document: dict[str, object] = {
        "images": [
            {"id": r.id, "file_name": r.file_name, "width": r.width, "height": r.height} for r, _ in answers
        ],
        "annotations": rows,
        "categories": [c.as_coco() for c in sorted(categories.values(), key=lambda c: c.id)],
    }
    make_folder(path.parent)
    write_json(path, document, indent=None)


def outlines(mask: np.ndarray) -> list[list[list[int]]]:
    """Outer outlines of a mask [H, W] along pixel edges, one closed polygon [[x, y], …] a part."""
    # Doubled, so that the contour, which runs through pixel centres, tells left edges from right ones.
    doubled = mask.astype(np.uint8).repeat(2, 0).repeat(2, 1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in contours:
        edge = (contour[:, 0].astype(np.int64) + 1) // 2
        edge = edge[(edge != np.roll(edge, 1, 0)).any(1)]
        before, after = edge - np.roll(edge, 1, 0), np.roll(edge, -1, 0) - edge
        corner = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
        polygons.append(edge[corner].tolist())
    return polygons


def write_categories(folder: Path, categories: Sequence[Category]) -> None:
    """categories.json, in the order that category indices count in."""
    write_json(folder / "categories.json", [category.as_coco() for category in categories], indent=1)


def write_labels(path: Path, labels: np.ndarray, categories: int) -> None:
    """Category indices [H, W] as a PNG of 8 bits, above 255 categories of 16."""
    write_image(path, labels.astype(np.uint8 if categories <= 255 else np.uint16))


def _scaled(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Ids, labels or a mask at another (height, width)."""
    if values.shape == size:
        return values
    plain = values.astype(np.uint8) if values.dtype == bool else values
    scaled = cv2.resize(plain, size[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(scaled).astype(values.dtype)
