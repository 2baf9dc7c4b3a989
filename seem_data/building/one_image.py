"""One image, all the way: item ─▶ annotation ─▶ drawing ─▶ PNGs and rows. What a worker does.

Files go to ``.build/staged`` under names made of the image's key, a hash of everything they depend on; which
split they belong to is not known yet. What stands in the journal about the image is returned to the parent.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data import images
from seem_data.annotations import UNLABELED, VOID, ImageAnnotation, Region, Sentence
from seem_data.building.journal import BuiltImage, Entry, Stamp, staged_name
from seem_data.categories import Categories
from seem_data.drawing.raster import RasterOptions, rasterize
from seem_data.encoding import grounding, instances, panoptic, semantic
from seem_data.files import OutputError, link_or_copy, sha256, write_atomically, writing
from seem_data.layout import FOLDERS, IMAGES, PANOPTIC, SEMANTIC, encode_rows, png
from seem_data.problems import DataError, Problem
from seem_data.readers import Item, Reader
from seem_data.sentences import describe as sentences
from seem_data.sentences.file import ImageSentences, add_sentences

STAGES = ("hash", "read", "raster", "encode", "sentences", "photo", "write")
_SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "BMP": (".bmp",), "WEBP": (".webp",)}
_JPEG_QUALITY = 95
_LONGEST_SMALL = 80  #: pixels of the longer side in which colours are looked for


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all images of a build have in common. Sent to every worker.

    Attributes:
        reader, mask_reader: of ``--polys`` and of ``--masks``; at least one is there.
        sentences_per_segment: generated ones at most; `seed` decides which.
        unknown: what becomes of labels that no category has: ``"skip"``, ``"error"`` or a category's name.
        out: the dataset's folder. `splits`: those that lie in it from an earlier build.
        digest: of everything above that decides bytes; part of every image's key.
    """

    reader: Reader | None
    mask_reader: Reader | None
    categories: Categories
    raster: RasterOptions
    unknown: str
    sentences_per_segment: int
    seed: int
    out: Path
    staged: Path
    splits: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Job:
    """One image to build.

    Attributes:
        position: in the scan, from 0.
        stem: name of its files in the dataset, without ending.
        item: its polygons. `ground`: its painted mask. At least one is there.
        sentences: from the sentences file.
        known: what an earlier build made of it.
    """

    position: int
    stem: str
    item: Item | None
    ground: Item | None = None
    sentences: ImageSentences | None = None
    known: Entry | None = None

    @property
    def main(self) -> Item:
        item = self.item or self.ground
        assert item is not None
        return item


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: a line for the journal (built), `kept` (as it was), or nothing but problems.

    Attributes:
        entry: what `line` says, as far as the parent remembers it.
    """

    position: int
    line: bytes | None = None
    entry: Entry | None = None
    kept: bool = False
    problems: list[Problem] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class _Stopwatch:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def build_images(recipe: Recipe, jobs: list[Job]) -> list[Outcome]:
    """
    Raises:
        OutputError: the output cannot be written; all else that goes wrong is told in the outcomes.
    """
    return [build_image(recipe, job) for job in jobs]


def build_image(recipe: Recipe, job: Job) -> Outcome:
    cv2.setNumThreads(1)  # one image a core: threads within an image would only fight over it
    watch = _Stopwatch()
    problems: list[Problem] = []
    source = str(job.main.source)
    try:
        key, photo, content = _key_of(recipe, job)
        watch.lap("hash")
        if job.known is not None and job.known.key == key and _is_there(recipe, job.known):
            return Outcome(job.position, kept=True, seconds=watch.seconds)
        built = _build(recipe, job, key, photo, content, problems, watch)
        line, entry = msgspec.json.encode(built), built.entry()
        watch.lap("write")
        return Outcome(job.position, line, entry, problems=_told(problems, job), seconds=watch.seconds)
    except OutputError:
        raise
    except DataError as error:
        problems += (replace(problem, file=problem.file or source) for problem in error.problems)
    except MemoryError:
        remedy = "Use fewer --workers, or downscale the photo."
        problems.append(Problem("out-of-memory", "does not fit into memory.", remedy, source))
    except Exception as error:  # a fault of ours must not cost the other ten thousand images
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        message = f"could not be built: {type(error).__name__} in {place}: {error}."
        problems.append(Problem("internal-error", message, "Please report this as a bug.", source))
    return Outcome(job.position, problems=_told(problems, job), seconds=watch.seconds)


def _told(problems: list[Problem], job: Job) -> list[Problem]:
    """The problems with the image's name where their file may be that of many images."""
    source, image = job.main.source, f"image {job.main.name!r}"
    if not problems or source.stem == PurePosixPath(job.main.name).stem:
        return problems
    return [
        replace(problem, where=f"{image}, {problem.where}" if problem.where else image)
        if problem.file == str(source) and not problem.where.startswith("image ")
        else problem
        for problem in problems
    ]


# What an image depends on


def _key_of(recipe: Recipe, job: Job) -> tuple[str, Stamp | None, bytes | None]:
    """The image's key, and what `_stamp` found."""
    digest = hashlib.sha256(recipe.digest.encode())
    digest.update(f"\n{job.main.name}\n{job.stem}\n".encode("utf-8", "replace"))
    photo, content = _stamp(job.main, job.known)
    digest.update((photo.sha256 if photo else "embedded").encode())
    for item in (job.item, job.ground):
        for part in () if item is None else (item.payload, *item.files):
            digest.update(b"\n" + (part if isinstance(part, bytes) else _read(part)))
    digest.update(msgspec.json.encode(job.sentences))
    return digest.hexdigest()[:32], photo, content


def _stamp(item: Item, known: Entry | None) -> tuple[Stamp | None, bytes | None]:
    """The photo's content hash, not computed anew while size and time of the file are the same; and the
    content, where it had to be read."""
    if item.image is None:
        return None, None
    try:
        status = item.image.stat()
        before = known.photo if known else None
        if before and (before.size, before.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return before, None
        content = item.image.read_bytes()
        return Stamp(status.st_size, status.st_mtime_ns, sha256(content)), content
    except OSError as error:
        raise _unreadable(item.image, error) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> DataError:
    missing = isinstance(error, FileNotFoundError)
    return DataError(
        Problem(
            "missing-image" if missing else "unreadable",
            "there is no such file." if missing else f"cannot be read ({error.strerror}).",
            "Put it there." if missing else "Check its permissions.",
            str(path),
        )
    )


def _is_there(recipe: Recipe, known: Entry) -> bool:
    """Whether the files of an image are complete: staged, or in a split."""
    names = (known.file_name, known.panoptic_name, known.panoptic_name)
    for folder, name, size in zip(FOLDERS, names, known.bytes, strict=True):
        staged = recipe.staged / staged_name(known.key, folder)
        placed = (recipe.out / split / folder / name for split in recipe.splits)
        if not any(_has_size(path, size) for path in (staged, *placed)):
            return False
    return True


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


# Building


def _build(
    recipe: Recipe,
    job: Job,
    key: str,
    stamp: Stamp | None,
    content: bytes | None,
    problems: list[Problem],
    watch: _Stopwatch,
) -> BuiltImage:
    annotation, ground = _load(recipe, job, problems)
    source = str(job.main.source)
    photo = _Photo(annotation, source, content if annotation.image == job.main.image else None)
    regions = _resolve(annotation.regions, recipe, problems, source)
    if job.sentences:
        regions = add_sentences(regions, job.sentences, problems, source)
    if ground is not None:
        photo.must_fit(ground, annotation)
        regions = _resolve(ground.regions, recipe, problems, str(ground.source)) + regions
    watch.lap("read")

    drawing = rasterize(regions, photo.size, recipe.categories, recipe.raster, problems, source)
    watch.lap("raster")

    encoded = panoptic.encode(drawing, recipe.categories)
    panoptic_png, semantic_png = encoded.png(), semantic.encode_png(encoded, recipe.categories)
    instance_rows = instances.rows(encoded)
    watch.lap("encode")

    said = [segment.sentences for segment in drawing.segments]
    if recipe.sentences_per_segment:
        small = photo.small()
        watch.lap("photo")
        seed = f"{recipe.seed}/{job.main.name}"
        generated = sentences.describe(drawing, small, recipe.sentences_per_segment, seed)
        said = [_merged(own, more) for own, more in zip(said, generated, strict=True)]
    watch.lap("sentences")
    grounding_rows = grounding.rows(encoded, said)
    watch.lap("encode")

    files = {folder: f"{recipe.staged}{os.sep}{staged_name(key, folder)}" for folder in FOLDERS}
    write_atomically(files[PANOPTIC], panoptic_png)
    write_atomically(files[SEMANTIC], semantic_png)
    watch.lap("write")
    photo_sha256 = photo.place(files[IMAGES], stamp)
    with writing(files[IMAGES]):
        photo_bytes = os.stat(files[IMAGES]).st_size  # noqa: PTH116  (a path made of text is several times faster)
    watch.lap("photo")

    built = BuiltImage(
        name=job.main.name,
        key=key,
        file_name=job.stem + photo.suffix,
        panoptic_name=f"{job.stem}.png",
        bytes=(photo_bytes, len(panoptic_png), len(semantic_png)),
        categories=frozenset(segment.category_id for segment in encoded.segments),
        sentence_count=sum(map(len, said)),
        photo=stamp,
        width=photo.size[0],
        height=photo.size[1],
        segments=encoded.segments,
        instances=encode_rows(instance_rows),
        grounding=encode_rows(grounding_rows),
        sha256=(photo_sha256, sha256(panoptic_png), sha256(semantic_png)),
        coverage=drawing.coverage,
        dropped=drawing.dropped,
        problems=_told(problems, job),
    )
    watch.lap("write")
    return built


def _merged(own: Sequence[Sentence], generated: Sequence[Sentence]) -> list[Sentence]:
    """The annotator's sentences, then the generated ones that say something else."""
    if not own:
        return list(generated)
    words = {sentence.raw.casefold() for sentence in own}
    return [*own, *(sentence for sentence in generated if sentence.raw.casefold() not in words)]


def _load(
    recipe: Recipe, job: Job, problems: list[Problem]
) -> tuple[ImageAnnotation, ImageAnnotation | None]:
    ground = recipe.mask_reader.load(job.ground, problems) if recipe.mask_reader and job.ground else None
    if recipe.reader and job.item:
        return recipe.reader.load(job.item, problems), ground
    assert ground is not None
    if job.main.image is None:
        raise DataError(Problem("missing-image", "has no photo.", "Name the photos' folder with --images."))
    return ground, None


def _resolve(regions: list[Region], recipe: Recipe, problems: list[Problem], file: str) -> list[Region]:
    """The regions with their categories' own names for labels; those of unknown labels as asked for."""
    known: list[Region] = []
    strangers: Counter[str] = Counter()
    first: dict[str, str] = {}
    fallback = recipe.categories.find(recipe.unknown) if recipe.unknown not in ("skip", "error") else None
    for region in regions:
        if region.label in (VOID, UNLABELED):
            known.append(region)
            continue
        category = recipe.categories.find(region.label)
        if category is None:
            strangers[region.label] += 1
            first.setdefault(region.label, region.where)
            category = fallback
        if category is not None:
            same = category.name == region.label
            known.append(region if same else replace(region, label=category.name))
    for label, count in strangers.items():
        times = f" ({count} regions)" if count > 1 else ""
        fate = f"is drawn as {fallback.name!r}" if fallback else "is left out"
        hint = recipe.categories.suggest(label) or "Add it to the colour map, or see --unknown."
        message = f"no category is called {label!r}: it {fate}{times}."
        if not label:
            message = f"has no label: it {fate}{times}."
            hint = "Label it, or name the category of what has no label with --unknown."
        problems.append(
            Problem(
                "unknown-label",
                message,
                hint,
                file,
                first[label],
                "note" if fallback else "error",
            )
        )
    return known


class _Photo:
    """The photo of an image as its annotation means it, and how it gets into the dataset."""

    def __init__(self, annotation: ImageAnnotation, source: str, content: bytes | None) -> None:
        """
        Args:
            content: of the photo's file, where it has been read already.

        Raises:
            DataError: it is missing, unreadable, too large, or of another size than the annotation says.
        """
        self._image = annotation.image
        self._file = str(annotation.image) if isinstance(annotation.image, Path) else f"{source} (embedded)"
        if content is None:
            content = self._image if isinstance(self._image, bytes) else _read(self._image)
        self._content = content
        self._opened = images.Opened(content, self._file)
        self._header = self._opened.header
        self._view: images.Exif = images.as_shown(self._header, annotation.size, annotation.exif, source)
        self._is_complete = False
        self.size = self._header.size(self._view)

    def must_fit(self, ground: ImageAnnotation, annotation: ImageAnnotation) -> None:
        """
        Raises:
            DataError: the painted mask has another size, or means another view of a photo with an
                EXIF orientation than the polygons do.
        """
        file = str(ground.source)
        view = images.as_shown(self._header, ground.size, ground.exif, file)
        if view != self._view and self._header.orientation != 1:
            raise DataError(
                Problem(
                    "turned-mask",
                    f"was painted on the photo {'upright' if view == 'applied' else 'as stored'}, but the "
                    f"polygons of {annotation.source.name} were drawn on it "
                    f"{'upright' if self._view == 'applied' else 'as stored'} (EXIF orientation "
                    f"{self._header.orientation}).",
                    "Turn the photo upright in the file, and mask and polygons with it.",
                    file,
                )
            )

    def small(self) -> NDArray[np.uint8]:
        """[h, w, 3] enough of the pixels to name colours. To be called once."""
        pixels = self._opened.small(_LONGEST_SMALL, self._view)
        self._is_complete = True
        return pixels

    @property
    def suffix(self) -> str:
        """Ending of the photo's file in the dataset."""
        if not self._header.is_plain:
            return ".jpg" if self._header.format == "JPEG" else ".png"
        usual = _SUFFIXES[self._header.format]
        own = self._image.suffix if isinstance(self._image, Path) else ""
        return own if own.lower() in usual else usual[0]

    def place(self, target: str, stamp: Stamp | None) -> str:
        """Put the photo at `target`: linked or copied as it is if any reader shows it as it was annotated,
        else turned and converted (JPEG of quality 95 from JPEG, PNG otherwise).

        Returns:
            the SHA-256 of the file.

        Raises:
            DataError: the photo is truncated, or of a kind that is refused.
            OutputError: `target` cannot be written.
        """
        if self._header.is_plain:
            if not self._is_complete:
                images.check_complete(self._content, self._file)
            if isinstance(self._image, Path) and stamp is not None:
                try:
                    link_or_copy(self._image, target)
                except OutputError:
                    raise
                except OSError as error:
                    raise _unreadable(self._image, error) from None
                return stamp.sha256
            data = self._content
        else:
            pixels = images.read_rgb(self._content, self._view, self._file)
            data = _jpeg(pixels) if self._header.format == "JPEG" else png.encode(pixels)
        write_atomically(target, data)
        return sha256(data)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
