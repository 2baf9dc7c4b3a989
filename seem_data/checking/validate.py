"""Every promise of the layout, checked on disk; and repaired where that needs no guess.

Codes of problems are stable. `validate` changes nothing; `seem_data.checking.repair` writes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from seem_data import layout
from seem_data.checking.validate_image import (
    BUILD_AGAIN,
    FIX,
    ImageFindings,
    Inspection,
    Row,
    Rows,
    check_images,
)
from seem_data.common.files import sha256_file
from seem_data.engines.choose import check_engine, open_engine
from seem_data.engines.spread import Casualty
from seem_data.layout import (
    Dataset,
    GroundingFile,
    GroundingRow,
    ImageRow,
    InstanceRow,
    InstancesFile,
    PanopticFile,
    PanopticRow,
    is_file_name,
)
from seem_data.limits import DEFAULT_MEGAPIXELS
from seem_data.problems import DataError, Problem

File = TypeVar("File")
Value = TypeVar("Value", bound=Hashable)

_CHUNK = 25


def validate(
    root: Path | str,
    *,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    max_megapixels: float = DEFAULT_MEGAPIXELS,
) -> list[Problem]:
    """All that is wrong with a dataset; nothing, or notes alone, if it is as the layout promises.

    Args:
        workers: processes; by default one for each core.
        progress: called with (step, done, total) as the work goes on.
        max_megapixels: photos and PNGs with more are a problem, and not decoded.

    Raises:
        DataError: the folder is no dataset, or its categories are unusable: nothing else can be checked.

    Example:
        >>> import seem_data
        >>> seem_data.validate("dataset")
        []
    """
    check_engine("auto", workers)
    dataset = Dataset(root)
    problems = _check_info(dataset)
    if not dataset.split_names:
        message = f"has no split: no folder in it holds {layout.PANOPTIC_JSON}."
        problems.append(Problem("no-splits", message, BUILD_AGAIN, str(dataset.root)))
    files_of: dict[str, dict[str, list[str]]] = {}
    for name in dataset.split_names:
        check = SplitCheck(dataset, name, max_megapixels)
        problems += check.run(workers, progress)
        files_of[name] = check.photos
    problems += _check_leaks(dataset, files_of)
    return problems


def _check_info(dataset: Dataset) -> list[Problem]:
    file = str(dataset.root / layout.DATASET_JSON)
    try:
        info = dataset.info()
    except DataError as error:
        missing = error.problems[0].code == "missing-file"
        message = "is missing: a build was cut off, or is still going on." if missing else "is malformed."
        remedy = "Repeat the build's command; it goes on where it stopped."
        return [Problem("no-info" if missing else "bad-info", message, remedy, file)]
    if info.get("layout") != layout.VERSION:
        message = f"says layout {info.get('layout')!r}; this program reads layout {layout.VERSION}."
        return [Problem("layout-version", message, BUILD_AGAIN, file, "layout")]
    told = info.get("splits")
    told = set(told) if isinstance(told, dict) else set()
    if told != set(dataset.split_names):
        message = f"lists the splits {_listed(told)}; there are {_listed(dataset.split_names)}."
        return [Problem("other-splits", message, FIX, file, "splits")]
    return []


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _check_leaks(dataset: Dataset, photos: dict[str, dict[str, list[str]]]) -> list[Problem]:
    """The same photo in two splits: what is trained on must not be scored on."""
    problems = []
    for first, second in combinations(photos, 2):
        for sha256 in photos[first].keys() & photos[second].keys() - {""}:
            message = f"is the same photo as {first}/{layout.IMAGES}/{photos[first][sha256][0]}."
            remedy = "Keep all images of one scene in one split (--group-by)."
            file = str(dataset.root / second / layout.IMAGES / photos[second][sha256][0])
            problems.append(Problem("photo-in-two-splits", message, remedy, file, severity="warning"))
    return sorted(problems, key=str)


class SplitCheck(Inspection):
    """The checks of one split. After `run`, `photos` tells which photos it holds, by SHA-256."""

    def __init__(self, dataset: Dataset, name: str, max_megapixels: float) -> None:
        super().__init__(dataset.root / name)
        self.dataset = dataset
        self.max_megapixels = max_megapixels
        self.name = name
        self.photos: dict[str, list[str]] = {}

    def run(self, workers: int | None, progress: Callable[[str, int, int], None] | None) -> list[Problem]:
        panoptic = self._read(layout.PANOPTIC_JSON, PanopticFile)
        if panoptic is None:
            return self.problems
        instances = self._read(layout.INSTANCES_JSON, InstancesFile)
        grounding = self._read(layout.GROUNDING_JSON, GroundingFile)
        self._check_categories(layout.PANOPTIC_JSON, panoptic.categories)
        pairs = self._check_rows(panoptic)
        for folder, stray in strays(self.root, panoptic):
            self.add("stray-file", f"{folder}/{stray}", "belongs to no image of the split.")
        for name, file in ((layout.INSTANCES_JSON, instances), (layout.GROUNDING_JSON, grounding)):
            if file is not None:
                self._check_categories(name, file.categories)
                self._check_annotations(name, file.images, file.annotations, panoptic.images)
        rows = rows_of(pairs, instances, grounding)
        checked = self._check_images(rows, workers, progress)
        self._check_fingerprint(pairs, checked)
        return self.problems

    def _read(self, name: str, kind: type[File]) -> File | None:
        try:
            return layout.read_json(self.root / name, kind)
        except DataError as error:
            self.problems += error.problems
            return None

    def _check_categories(self, file: str, categories: list[dict[str, object]]) -> None:
        if categories != self.dataset.categories.as_coco():
            message = f"lists other categories than {layout.CATEGORIES_JSON}."
            self.add("other-categories", file, message, where="categories")

    def _check_rows(self, file: PanopticFile) -> list[tuple[ImageRow, PanopticRow]]:
        """The rows of images and panoptic annotations as such.

        Returns:
            those that can be checked further, in the order of the images.
        """
        name = layout.PANOPTIC_JSON
        for number in repeated(image.id for image in file.images):
            self.add("duplicate-image-id", name, f"lists two images of id {number}.")
        for file_name in repeated(image.file_name for image in file.images):
            self.add("duplicate-file-name", name, f"lists two images named {file_name!r}.")
        for number in repeated(row.image_id for row in file.annotations):
            self.add("duplicate-annotation", name, f"has two annotations for image {number}.")
        for file_name in repeated(row.file_name for row in file.annotations):
            self.add("duplicate-file-name", name, f"has two annotations whose PNG is {file_name!r}.")
        ids = {image.id for image in file.images}
        rows: dict[int, PanopticRow] = {}
        for row in file.annotations:
            if row.image_id not in ids:
                message = f"has an annotation for image {row.image_id}, which it does not list."
                self.add("lost-annotation", name, message)
            elif is_file_name(row.file_name):
                rows.setdefault(row.image_id, row)
            else:
                self.add("unsafe-name", name, f"names the PNG {row.file_name!r}, outside of its folder.")
        pairs = []
        for image in file.images:
            if not is_file_name(image.file_name):
                self.add("unsafe-name", name, f"names the photo {image.file_name!r}, outside of its folder.")
            elif (row := rows.pop(image.id, None)) is not None:
                pairs.append((image, row))
            elif all(row.image_id != image.id for row in file.annotations):
                message = f"has no annotation for image {image.id} ({image.file_name})."
                self.add("no-annotation", name, message)
        return pairs

    def _check_annotations(
        self,
        name: str,
        images: list[ImageRow],
        annotations: Sequence[GroundingRow | InstanceRow],
        listed: list[ImageRow],
    ) -> None:
        """The rows of instances.json and grounding.json as such."""
        if images != listed:
            self.add("other-images", name, f"lists other images than {layout.PANOPTIC_JSON}.")
        for number in repeated(row.id for row in annotations):
            self.add("duplicate-id", name, f"has two annotations of id {number}.")
        ids = {image.id for image in listed}
        for row in annotations:
            if row.image_id not in ids:
                message = f"is for image {row.image_id}, which is not there."
                self.add("lost-annotation", name, message, where=f"annotation {row.id}")

    def _check_images(
        self, rows: list[Rows], workers: int | None, progress: Callable[[str, int, int], None] | None
    ) -> dict[int, ImageFindings]:
        checked: dict[int, ImageFindings] = {}
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        work = partial(check_images, self.root, self.dataset.categories, self.max_megapixels)
        with open_engine("auto", workers if len(chunks) > 1 else 1) as engine:
            for result in engine.map(work, chunks):
                if isinstance(result, Casualty):
                    image = result.job.image.file_name
                    self.add("killed", f"{layout.IMAGES}/{image}", "killed the process that checked it.", "")
                    continue
                checked |= {image.image_id: image for image in result}
                if progress is not None:
                    progress("check", len(checked), len(rows))
        for row in rows:
            if (image := checked.get(row.image.id)) is not None:
                self.problems += image.problems
                self.photos.setdefault(image.sha256[0], []).append(row.image.file_name)
        return checked

    def _check_fingerprint(
        self, pairs: list[tuple[ImageRow, PanopticRow]], checked: dict[int, ImageFindings]
    ) -> None:
        """The fingerprint covers every byte: it also finds changes that leave all promises kept."""
        told = self.dataset.fingerprint_told(self.name)
        if told is None:
            return  # why is told by `_check_info`
        fingerprint = layout.Fingerprint()
        for image, row in pairs:
            if image.id in checked:
                fingerprint.add_files(image.file_name, row.file_name, checked[image.id].sha256)
        for name in layout.ROW_FILES:
            if (self.root / name).is_file():
                fingerprint.add(name, sha256_file(self.root / name))
        if fingerprint.hexdigest() != told:
            message = f"has another fingerprint for {self.name}: files were changed since the build."
            self.add("changed", self.dataset.root / layout.DATASET_JSON, message, severity="warning")


def rows_of(
    pairs: Iterable[tuple[ImageRow, PanopticRow]],
    instances: InstancesFile | None,
    grounding: GroundingFile | None,
) -> list[Rows]:
    """The rows of three JSON files image by image; those of unknown images are left out."""
    instances_of = _by_image(instances.annotations if instances is not None else [])
    grounding_of = _by_image(grounding.annotations if grounding is not None else [])
    return [Rows(image, row, instances_of[image.id], grounding_of[image.id]) for image, row in pairs]


def _by_image(rows: Iterable[Row]) -> defaultdict[int, list[Row]]:
    groups: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.image_id].append(row)
    return groups


def repeated(values: Iterable[Value]) -> list[Value]:
    return [value for value, count in Counter(values).items() if count > 1]


def strays(root: Path, file: PanopticFile) -> Iterator[tuple[str, str]]:
    """Files in the split's folders that no row mentions, as (folder, name)."""
    photos = {image.file_name for image in file.images}
    pngs = {row.file_name for row in file.annotations}
    for folder in layout.FOLDERS:
        known = photos if folder == layout.IMAGES else pngs
        if (root / folder).is_dir():
            names = sorted(path.name for path in (root / folder).iterdir())
            yield from ((folder, name) for name in names if name not in known)
