"""One image, all the way: item ─▶ annotation ─▶ drawing ─▶ PNGs and rows. What a worker does; the images that
it gets go through each stage one after the other, and the outlines of some are traced together.

Files go to ``.build/staged`` under names made of the image's key, a hash of everything they depend on; which
split they belong to is not known yet. What stands in the journal about the image is returned to the parent.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import Region, Sentence
from seem_data.building.job import ImageResult, Job, Recipe
from seem_data.building.journal import BuiltImage, Entry, Stamp, staged_name
from seem_data.building.key import is_there, key_of
from seem_data.building.photo import InputPhoto
from seem_data.building.regions import load, resolve
from seem_data.common.files import sha256
from seem_data.drawing.outlines import Piece, trace_all
from seem_data.drawing.raster import Drawing, rasterize
from seem_data.encoding import grounding, instances, panoptic, semantic
from seem_data.encoding.panoptic import PanopticImage
from seem_data.files import OutputError, write_atomically
from seem_data.layout import FOLDERS, IMAGES, PANOPTIC, SEMANTIC, encode_rows
from seem_data.problems import DataError, Problem
from seem_data.sentences import describe as sentences
from seem_data.sentences.file import add_sentences

#: Pixels of the images that go through a stage one after the other: some few of usual sizes, or a large one.
#: What a stage needs then stays in the processor's caches from one image to the next.
_PIXELS_AT_ONCE = 2_000_000


class _Stopwatch:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


@dataclass(slots=True)
class _Task:
    """A job on its way to a result."""

    job: Job
    problems: list[Problem] = field(default_factory=list)
    watch: _Stopwatch = field(default_factory=_Stopwatch)
    result: ImageResult | None = None

    def end(self, line: bytes | None = None, entry: Entry | None = None, kept: bool = False) -> None:
        told = [] if kept else _with_image(self.problems, self.job)
        self.result = ImageResult(self.job.position, line, entry, kept, told, self.watch.seconds)


@dataclass(slots=True)
class _ReadImage:
    """An image of which everything is read."""

    task: _Task
    key: str
    stamp: Stamp | None
    photo: InputPhoto
    regions: list[Region]


@dataclass(slots=True)
class _DrawnImage:
    """An image of which it is known what is seen where."""

    read: _ReadImage
    drawing: Drawing

    @property
    def task(self) -> _Task:
        return self.read.task


@dataclass(slots=True)
class _EncodedImage:
    """An image whose rows and sentences are made one after the other.

    Attributes:
        pngs: the panoptic and the semantic one.
        instances: its rows of instances.json.
        small: enough of the photo to name colours; None where no sentences are generated.
        said: the sentences of each segment.
    """

    read: _ReadImage
    encoded: PanopticImage
    pngs: tuple[bytes, bytes]
    instances: list[msgspec.Raw] = field(default_factory=list)
    small: NDArray[np.uint8] | None = None
    said: list[Sequence[Sentence]] = field(default_factory=list)

    @property
    def task(self) -> _Task:
        return self.read.task


@dataclass(slots=True)
class _StagedImage:
    """An image whose files lie in place; its outlines are to come.

    Attributes:
        built: all but the rows of `grounding`.
        said: the sentences of each segment.
    """

    task: _Task
    built: BuiltImage
    encoded: PanopticImage
    said: list[Sequence[Sentence]]


class _HasTask(Protocol):
    @property
    def task(self) -> _Task: ...


Image = TypeVar("Image", bound=_HasTask)
Next = TypeVar("Next")


def build_images(recipe: Recipe, jobs: list[Job]) -> list[ImageResult]:
    """
    Raises:
        OutputError: the output cannot be written.
        ImportError: a library cannot be loaded. All else that goes wrong is told in the outcomes.
    """
    tasks = [_Task(job) for job in jobs]
    group: list[_ReadImage] = []
    pixels = 0
    for task in tasks:
        with _telling(task):
            image = _read(recipe, task)
            if image is not None:
                group.append(image)
                pixels += image.photo.size[0] * image.photo.size[1]
        if pixels >= _PIXELS_AT_ONCE:
            _build_group(recipe, group)
            group, pixels = [], 0
    _build_group(recipe, group)
    return [task.result for task in tasks if task.result is not None]


def _build_group(recipe: Recipe, read: list[_ReadImage]) -> None:
    """The images, stage by stage."""
    drawn = _each(read, partial(_draw, recipe))
    encoded = _each(drawn, partial(_encode, recipe))
    encoded = _each(encoded, _instances)
    encoded = _each(encoded, partial(_look, recipe))
    encoded = _each(encoded, partial(_speak, recipe))
    _finish_all(_each(encoded, partial(_stage, recipe)))


def _each(images: list[Image], stage: Callable[[Image], Next]) -> list[Next]:
    """What a stage makes of each image; those with which it goes wrong are at their end."""
    found: list[Next] = []
    for image in images:
        with _telling(image.task):
            found.append(stage(image))
    return found


def _finish_all(staged: list[_StagedImage]) -> None:
    watch = _Stopwatch()
    parts = _outlines(staged)
    watch.lap("encode")
    for image, outlines in zip(staged, parts, strict=True):
        with _telling(image.task):
            _finish(image, outlines, watch)


@contextmanager
def _telling(task: _Task) -> Iterator[None]:
    """Whatever goes wrong with an image in the block becomes its result."""
    task.watch.start()
    source = str(task.job.main.source)
    try:
        yield
        return
    except (OutputError, ImportError):  # a library that cannot be loaded: the next image would fail too
        raise
    except DataError as error:
        task.problems += (replace(problem, file=problem.file or source) for problem in error.problems)
    except MemoryError:
        remedy = "Use fewer --workers, or downscale the photo."
        task.problems.append(Problem("out-of-memory", "does not fit into memory.", remedy, source))
    except Exception as error:  # a fault of ours must not cost the other ten thousand images
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        message = f"could not be built: {type(error).__name__} in {place}: {error}."
        task.problems.append(Problem("internal-error", message, "Please report this as a bug.", source))
    task.end()


def _read(recipe: Recipe, task: _Task) -> _ReadImage | None:
    """What is known of the image; None where it is as it was."""
    job, watch = task.job, task.watch
    known = job.known
    key, stamp, content = key_of(recipe, job, None if recipe.verify else known)
    if known is not None and known.key == key and is_there(recipe, job, known):
        watch.lap("hash")
        task.end(kept=True)
        return None
    if content is None and stamp is not None:
        # What is built is built from what was read, whatever its size and time say.
        key, stamp, content = key_of(recipe, job, None)
    watch.lap("hash")
    photo, regions = _photo_and_regions(recipe, job, content, task.problems)
    watch.lap("read")
    return _ReadImage(task, key, stamp, photo, regions)


def _draw(recipe: Recipe, image: _ReadImage) -> _DrawnImage:
    task, file = image.task, str(image.task.job.main.source)
    size, problems = image.photo.size, task.problems
    drawing = rasterize(image.regions, size, recipe.categories, recipe.raster, problems, file)
    task.watch.lap("raster")
    return _DrawnImage(image, drawing)


def _encode(recipe: Recipe, image: _DrawnImage) -> _EncodedImage:
    encoded = panoptic.encode(image.drawing, recipe.categories)
    pngs = encoded.png(), semantic.encode_png(encoded, recipe.categories)
    image.task.watch.lap("encode")
    return _EncodedImage(image.read, encoded, pngs)


def _instances(image: _EncodedImage) -> _EncodedImage:
    image.instances = encode_rows(instances.rows(image.encoded))
    image.task.watch.lap("encode")
    return image


def _look(recipe: Recipe, image: _EncodedImage) -> _EncodedImage:
    if recipe.sentences_per_segment:
        image.small = image.read.photo.small()
    image.task.watch.lap("photo")
    return image


def _speak(recipe: Recipe, image: _EncodedImage) -> _EncodedImage:
    image.said = _sentences(image.encoded.drawing, image.small, recipe, image.task.job.main.name)
    image.task.watch.lap("sentences")
    return image


def _stage(recipe: Recipe, image: _EncodedImage) -> _StagedImage:
    task, key, stamp, photo = image.task, image.read.key, image.read.stamp, image.read.photo
    job, watch, drawing = task.job, task.watch, image.encoded.drawing
    panoptic_png, semantic_png = image.pngs
    files = {folder: f"{recipe.staged}{os.sep}{staged_name(key, folder)}" for folder in FOLDERS}
    write_atomically(files[PANOPTIC], panoptic_png, synced=False)
    write_atomically(files[SEMANTIC], semantic_png, synced=False)
    watch.lap("write")
    photo_sha256, photo_bytes = photo.place(files[IMAGES], stamp, recipe.link)
    watch.lap("photo")

    built = BuiltImage(
        name=job.main.name,
        key=key,
        file_name=job.stem + photo.suffix,
        panoptic_name=f"{job.stem}.png",
        bytes=(photo_bytes, len(panoptic_png), len(semantic_png)),
        categories=frozenset(segment.category_id for segment in image.encoded.segments),
        sentence_count=sum(map(len, image.said)),
        photo=stamp,
        width=photo.size[0],
        height=photo.size[1],
        segments=image.encoded.segments,
        instances=image.instances,
        grounding=[],
        sha256=(photo_sha256, sha256(panoptic_png), sha256(semantic_png)),
        coverage=drawing.coverage,
        dropped=drawing.dropped,
        problems=_with_image(task.problems, job),
        places=job.places,
    )
    watch.lap("write")
    return _StagedImage(task, built, image.encoded, image.said)


def _outlines(images: list[_StagedImage]) -> list[list[list[Piece]] | None]:
    """The outlines of the segments of each image, all traced together; None of images without sentences, and
    of all where that fails: each then traces its own, so that a fault costs one image."""
    spoken = [image for image in images if any(image.said)]
    try:
        traced = iter(trace_all([(one.encoded.drawing.runs, one.encoded.drawing.layers) for one in spoken]))
    except Exception:
        return [None] * len(images)
    return [next(traced) if any(image.said) else None for image in images]


def _finish(image: _StagedImage, outlines: list[list[Piece]] | None, watch: _Stopwatch) -> None:
    task = image.task
    rows = encode_rows(grounding.rows(image.encoded, image.said, outlines))
    task.watch.lap("encode")
    built = msgspec.structs.replace(image.built, grounding=rows)
    line, entry = msgspec.json.encode(built), built.entry()
    task.watch.lap("write")
    for stage, seconds in watch.seconds.items():  # of all together: told once
        task.watch.seconds[stage] += seconds
    watch.seconds = {}
    task.end(line, entry)


def _with_image(problems: list[Problem], job: Job) -> list[Problem]:
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


def _photo_and_regions(
    recipe: Recipe, job: Job, content: bytes | None, problems: list[Problem]
) -> tuple[InputPhoto, list[Region]]:
    """The photo, and all regions on it: those of the painted mask below those of the polygons."""
    annotation, ground = load(recipe, job, problems)
    source = str(job.main.source)
    content = content if annotation.image == job.main.image else None
    photo = InputPhoto(annotation, source, content, recipe.max_megapixels)
    photo.tell_doubt(annotation, problems)
    regions = resolve(annotation.regions, recipe, problems, source)
    if job.sentences:
        regions = add_sentences(regions, job.sentences, problems, source)
    if ground is not None:
        photo.must_fit(ground, annotation)
        photo.tell_doubt(ground, problems)
        regions = resolve(ground.regions, recipe, problems, str(ground.source)) + regions
    return photo, regions


def _sentences(
    drawing: Drawing, small: NDArray[np.uint8] | None, recipe: Recipe, name: str
) -> list[Sequence[Sentence]]:
    """Of each segment: the annotator's own, then generated ones."""
    own = [segment.sentences for segment in drawing.segments]
    if not recipe.sentences_per_segment:
        return [*own]
    generated = sentences.describe(drawing, small, recipe.sentences_per_segment, f"{recipe.seed}/{name}")
    return [_merged(mine, more) for mine, more in zip(own, generated, strict=True)]


def _merged(own: Sequence[Sentence], generated: Sequence[Sentence]) -> list[Sentence]:
    """The annotator's sentences, then the generated ones that say something else."""
    if not own:
        return list(generated)
    words = {sentence.raw.casefold() for sentence in own}
    return [*own, *(sentence for sentence in generated if sentence.raw.casefold() not in words)]
