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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

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
class _Image:
    """An image on its way to a result; each stage adds what the later ones need.

    Attributes:
        pngs: the panoptic and the semantic one.
        instances: its rows of instances.json.
        small: enough of the photo to name colours; None where no sentences are generated.
        said: the sentences of each segment.
        placed: SHA-256 and size of the photo in the dataset.
        outlines: of each segment; None where they are not traced.
    """

    recipe: Recipe
    job: Job
    problems: list[Problem] = field(default_factory=list)
    watch: _Stopwatch = field(default_factory=_Stopwatch)
    result: ImageResult | None = None
    key: str = field(init=False)
    stamp: Stamp | None = field(init=False)
    photo: InputPhoto = field(init=False)
    regions: list[Region] = field(init=False)
    drawing: Drawing = field(init=False)
    encoded: PanopticImage = field(init=False)
    pngs: tuple[bytes, bytes] = field(init=False)
    instances: list[msgspec.Raw] = field(init=False)
    small: NDArray[np.uint8] | None = None
    said: list[Sequence[Sentence]] = field(init=False)
    placed: tuple[str, int] = field(init=False)
    outlines: list[list[Piece]] | None = None

    def end(self, line: bytes | None = None, entry: Entry | None = None, kept: bool = False) -> None:
        told = [] if kept else _with_image(self.problems, self.job)
        self.result = ImageResult(self.job.position, line, entry, kept, told, self.watch.seconds)


def build_images(recipe: Recipe, jobs: list[Job]) -> list[ImageResult]:
    """
    Raises:
        OutputError: the output cannot be written.
        ImportError: a library cannot be loaded. All else that goes wrong is told in the outcomes.
    """
    results: list[ImageResult] = []
    group: list[_Image] = []  # what is known of an image goes with its group: photos are large
    pixels = 0
    for job in jobs:
        image = _Image(recipe, job)
        if _each([image], _read):
            group.append(image)
            pixels += image.photo.size[0] * image.photo.size[1]
        else:
            results += _results([image])
        if pixels >= _PIXELS_AT_ONCE:
            results += _build_group(group)
            group, pixels = [], 0
    return results + _build_group(group)


def _build_group(group: list[_Image]) -> list[ImageResult]:
    """The images, stage by stage."""
    images = group
    for stage in (_draw, _encode, _instances, _look, _speak, _stage):
        images = _each(images, stage)
    _outline(images)
    _each(images, _finish)
    return _results(group)


def _results(images: list[_Image]) -> list[ImageResult]:
    return [image.result for image in images if image.result is not None]


def _each(images: list[_Image], stage: Callable[[_Image], None]) -> list[_Image]:
    """Take each image through a stage; those with which it goes wrong are at their end.

    Returns:
        the others.
    """
    for image in images:
        with _telling(image):
            stage(image)
    return [image for image in images if image.result is None]


@contextmanager
def _telling(image: _Image) -> Iterator[None]:
    """Whatever goes wrong with an image in the block becomes its result."""
    image.watch.start()
    source = str(image.job.main.source)
    try:
        yield
        return
    except (OutputError, ImportError):  # a library that cannot be loaded: the next image would fail too
        raise
    except DataError as error:
        image.problems += (replace(problem, file=problem.file or source) for problem in error.problems)
    except MemoryError:
        remedy = "Use fewer --workers, or downscale the photo."
        image.problems.append(Problem("out-of-memory", "does not fit into memory.", remedy, source))
    except Exception as error:  # a fault of ours must not cost the other ten thousand images
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        message = f"could not be built: {type(error).__name__} in {place}: {error}."
        image.problems.append(Problem("internal-error", message, "Please report this as a bug.", source))
    image.end()


def _read(image: _Image) -> None:
    """What is known of the image; it ends here where it is as it was."""
    recipe, job, watch = image.recipe, image.job, image.watch
    known = job.known
    image.key, image.stamp, content = key_of(recipe, job, None if recipe.manner.verify else known)
    if known is not None and known.key == image.key and is_there(recipe, job, known):
        watch.lap("hash")
        image.end(kept=True)
        return
    if content is None and image.stamp is not None:
        # What is built is built from what was read, whatever its size and time say.
        image.key, image.stamp, content = key_of(recipe, job, None)
    watch.lap("hash")
    image.photo, image.regions = _photo_and_regions(recipe, job, content, image.problems)
    watch.lap("read")


def _draw(image: _Image) -> None:
    recipe, file = image.recipe, str(image.job.main.source)
    image.drawing = rasterize(
        image.regions, image.photo.size, recipe.categories, recipe.options.raster, image.problems, file
    )
    image.watch.lap("raster")


def _encode(image: _Image) -> None:
    categories = image.recipe.categories
    image.encoded = panoptic.encode(image.drawing, categories)
    image.pngs = image.encoded.png(), semantic.encode(image.encoded, categories)
    image.watch.lap("encode")


def _instances(image: _Image) -> None:
    image.instances = encode_rows(instances.rows(image.encoded))
    image.watch.lap("encode")


def _look(image: _Image) -> None:
    if image.recipe.options.most_generated:
        image.small = image.photo.small()
    image.watch.lap("photo")


def _speak(image: _Image) -> None:
    image.said = _sentences(image.drawing, image.small, image.recipe, image.job.main.name)
    image.watch.lap("sentences")


def _stage(image: _Image) -> None:
    """Put its files in place."""
    recipe, watch = image.recipe, image.watch
    files = {folder: f"{recipe.staged}{os.sep}{staged_name(image.key, folder)}" for folder in FOLDERS}
    for folder, png in zip((PANOPTIC, SEMANTIC), image.pngs, strict=True):
        write_atomically(files[folder], png, synced=False)
    watch.lap("write")
    image.placed = image.photo.place(files[IMAGES], image.stamp, recipe.manner.link)
    watch.lap("photo")


def _outline(images: list[_Image]) -> None:
    """Trace the outlines of all images that have sentences together. Where that fails, each traces its own
    later, so that a fault costs one image."""
    spoken = [image for image in images if any(image.said)]
    if not spoken:
        return
    watch = spoken[0].watch
    watch.start()
    with suppress(Exception):
        traced = trace_all([(image.drawing.runs, image.drawing.layers) for image in spoken])
        for image, outlines in zip(spoken, traced, strict=True):
            image.outlines = outlines
    watch.lap("encode")  # of all together: told once


def _finish(image: _Image) -> None:
    job, photo, drawing, segments = image.job, image.photo, image.drawing, image.encoded.segments
    rows = encode_rows(grounding.rows(image.encoded, image.said, image.outlines))
    image.watch.lap("encode")
    built = BuiltImage(
        name=job.main.name,
        key=image.key,
        file_name=job.stem + photo.suffix,
        panoptic_name=f"{job.stem}.png",
        bytes=(image.placed[1], len(image.pngs[0]), len(image.pngs[1])),
        categories=frozenset(segment.category_id for segment in segments),
        sentence_count=sum(map(len, image.said)),
        photo=image.stamp,
        width=photo.size[0],
        height=photo.size[1],
        segments=segments,
        instances=image.instances,
        grounding=rows,
        sha256=(image.placed[0], sha256(image.pngs[0]), sha256(image.pngs[1])),
        coverage=drawing.coverage,
        dropped=drawing.dropped,
        problems=_with_image(image.problems, job),
        places=job.places,
    )
    line, entry = msgspec.json.encode(built), built.entry()
    image.watch.lap("write")
    image.end(line, entry)


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
    photo = InputPhoto(annotation, source, content, recipe.manner.max_megapixels)
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
    options = recipe.options
    if not options.most_generated:
        return [*own]
    generated = sentences.describe(drawing, small, options.most_generated, f"{options.seed}/{name}")
    return [_merged(mine, more) for mine, more in zip(own, generated, strict=True)]


def _merged(own: Sequence[Sentence], generated: Sequence[Sentence]) -> list[Sentence]:
    """The annotator's sentences, then the generated ones that say something else."""
    if not own:
        return list(generated)
    words = {sentence.raw.casefold() for sentence in own}
    return [*own, *(sentence for sentence in generated if sentence.raw.casefold() not in words)]
