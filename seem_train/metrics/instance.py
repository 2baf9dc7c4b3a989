"""Mask AP through pycocotools' COCOeval, from annotations in memory and without a word on the screen."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seem_data.layout import CategoryRow

UNDEFINED = -1.0  #: what pycocotools says where there is no ground truth to find


def encode_masks(masks: np.ndarray) -> list[RunLengths]:
    """Masks [N, H, W] bool as COCO run-length encodings."""
    if not len(masks):
        return []
    encoded: Any = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))
    return list(encoded)


class RunLengths(TypedDict):
    """COCO's compressed run lengths of one mask."""

    size: list[int]  #: height, width
    counts: str | bytes


def counts_text(rle: RunLengths) -> str:
    """The run lengths as JSON can hold them."""
    counts = rle["counts"]
    return counts if isinstance(counts, str) else counts.decode("ascii")


class TrueInstance(TypedDict):
    """A COCO instance annotation of the ground truth."""

    category_id: int
    segmentation: RunLengths
    area: float
    iscrowd: int


@dataclass(frozen=True)
class _Image:
    size: tuple[int, int]  #: height, width
    found: list[dict[str, object]]  #: rows of a COCO result
    truth: list[TrueInstance]


@dataclass(frozen=True)
class InstanceResult:
    """Average precision, over IoU 0.50:0.95 unless said otherwise; −1 where there was nothing to find."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float  #: objects under 32² pixels
    ap_medium: float
    ap_large: float  #: objects over 96² pixels
    per_class: dict[int, float]  #: AP of each category id
    per_class_ap50: dict[int, float]
    images: int


class InstanceAP:
    """Collects run-length encoded masks image by image; AP needs all of them ranked together.

    Args:
        categories: COCO categories, each with `id`; normally the things only.
    """

    def __init__(self, categories: Sequence[CategoryRow]) -> None:
        self._category_ids = [int(category["id"]) for category in categories]
        self._images: dict[int, _Image] = {}

    def update(
        self,
        image_id: int,
        scores: np.ndarray,
        category_ids: np.ndarray,
        masks: Sequence[RunLengths],
        size: tuple[int, int],
        gt_annotations: Sequence[TrueInstance],
    ) -> None:
        """Add one image.

        Args:
            image_id: unique over all processes.
            scores, category_ids: [N].
            masks: N run-length encodings, as `encode_masks` makes them.
            size: (height, width) of masks and ground truth.
            gt_annotations: COCO instance annotations: `category_id`, `segmentation` (RLE or polygons),
                `area`, `iscrowd`.
        """
        if image_id in self._images:
            raise ValueError(f"image {image_id} was given twice")
        found: list[dict[str, object]] = [
            {"category_id": id_, "score": score, "segmentation": mask, "area": float(coco_mask.area(mask))}
            for id_, score, mask in zip(category_ids.tolist(), scores.tolist(), masks, strict=True)
        ]
        self._images[image_id] = _Image(size, found, list(gt_annotations))

    def merge(self, other: InstanceAP) -> None:
        """Add the images of another process."""
        if twice := self._images.keys() & other._images.keys():
            raise ValueError(f"images given twice: {sorted(twice)}")
        self._images.update(other._images)

    def result(self) -> InstanceResult:
        if not self._images:
            undefined = dict.fromkeys(self._category_ids, UNDEFINED)
            return InstanceResult(*[UNDEFINED] * 6, per_class=undefined, per_class_ap50=undefined, images=0)
        with contextlib.redirect_stdout(io.StringIO()):
            truth, found = self._coco(lambda image: image.truth), self._coco(lambda image: image.found)
            evaluation = COCOeval(truth, found, "segm")
            evaluation.params.catIds = self._category_ids
            evaluation.params.imgIds = sorted(self._images)
            evaluation.evaluate()
            evaluation.accumulate()
        # [IoU threshold, recall, category, area range, most detections an image]
        precision = evaluation.eval["precision"][..., -1]
        return InstanceResult(
            ap=_mean(precision[:, :, :, 0]),
            ap50=_mean(precision[0, :, :, 0]),
            ap75=_mean(precision[5, :, :, 0]),
            ap_small=_mean(precision[:, :, :, 1]),
            ap_medium=_mean(precision[:, :, :, 2]),
            ap_large=_mean(precision[:, :, :, 3]),
            per_class=self._per_class(precision[:, :, :, 0]),
            per_class_ap50=self._per_class(precision[:1, :, :, 0]),
            images=len(self._images),
        )

    def _per_class(self, precision: np.ndarray) -> dict[int, float]:
        return {id_: _mean(precision[:, :, index]) for index, id_ in enumerate(self._category_ids)}

    def _coco(self, rows_of: Callable[[_Image], Sequence[Mapping[str, object]]]) -> COCO:
        images = sorted(self._images.items())
        rows = [(image_id, row) for image_id, image in images for row in rows_of(image)]
        coco = COCO()
        dataset: Any = {
            "images": [{"id": id_, "height": image.size[0], "width": image.size[1]} for id_, image in images],
            "categories": [{"id": id_} for id_ in self._category_ids],
            "annotations": [  # numbered from 1: COCOeval reads 0 as unmatched
                {"iscrowd": 0, **row, "image_id": image_id, "id": number}
                for number, (image_id, row) in enumerate(rows, start=1)
            ],
        }
        coco.dataset = dataset
        coco.createIndex()
        return coco


def _mean(precision: np.ndarray) -> float:
    """Mean over what is defined, as COCOeval.summarize takes it."""
    defined = precision[precision > UNDEFINED]
    return float(defined.mean()) if len(defined) else UNDEFINED
