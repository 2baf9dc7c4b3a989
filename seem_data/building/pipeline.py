"""The pipeline: find the images, build each (`one_image`), split them, put them in place (`assemble`).

Stopped at any moment, the same call goes on where it was; a call after changes builds what changed. Either
way the dataset is, to the byte, what one undisturbed build makes, whatever engine and number of workers.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seem_data.building.assemble import assemble
from seem_data.building.inputs import Inputs, made_anew
from seem_data.building.job import Job
from seem_data.building.journal import Journal, remove_leftovers
from seem_data.building.options import Manner
from seem_data.building.order import ImageOrder, check_order
from seem_data.building.report import BuildReport, Progress
from seem_data.building.spread import CHUNK, build_all, recipe_of
from seem_data.engines.choose import open_engine
from seem_data.engines.spread import Engine
from seem_data.files import write_atomically, writing
from seem_data.layout import PROBLEMS_JSON
from seem_data.limits import DEFAULT_MEGAPIXELS
from seem_data.names import spoken_otherwise
from seem_data.problems import DataError, Problem
from seem_data.readers import Reader
from seem_data.splits import assign as splits

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from seem_data.building.options import BuildOptions


def build(
    colors: Path | str,
    polys: Path | str | None = None,
    out: Path | str = "dataset",
    *,
    masks: Path | str | None = None,
    images: Path | str | None = None,
    sentences: Path | str | None = None,
    annotator: str | None = None,
    strict: bool = False,
    verify: bool = False,
    link: bool = False,
    max_megapixels: float = DEFAULT_MEGAPIXELS,
    workers: int | None = None,
    engine: str = "auto",
    ray_address: str | None = None,
    progress: Progress | None = None,
    **options: Unpack[BuildOptions],
) -> BuildReport:
    """Build a dataset from annotations, or bring one up to date.

    Args:
        colors: the colour map, see `categories`.
        polys: folder or file of polygon annotations.
        out: the dataset's folder; new, empty, or a dataset built before.
        masks: folder of painted masks, the ground that polygons are drawn over. One of both must be given.
        images: the photos' folder where it is not the annotations' own.
        sentences: a file of sentences, see `sentences.file`.
        annotator: whose work is read where several annotated the same photo; by default the newest.
        strict, verify, link, max_megapixels: see `Manner`.
        workers: processes; by default one for each core.
        engine: ``auto``, ``local``, ``pool`` or ``ray``.
        ray_address: of a running Ray cluster; by default Ray is started here.
        progress: called as the work goes on.
        options: what decides the bytes of the dataset, see `BuildOptions`.

    Raises:
        DataError: nothing was built, the dataset is as it was; it carries all problems found.
            Only an `OutputError` (disk full, …) may leave it in between; the same call then goes on.

    Example:
        >>> import seem_data
        >>> report = seem_data.build("cats.json", "annotations", "dataset", split="train=0.5,val=0.5")
        >>> [(name, counts.images) for name, counts in report.splits.items()]
        [('train', 2), ('val', 2)]
    """
    paths = (Path(path) if path is not None else None for path in (polys, masks, images))
    inputs = Inputs(*paths, annotator=annotator)
    manner = Manner(strict, verify, link, max_megapixels, workers, engine, ray_address)
    words = Path(sentences) if sentences is not None else None
    order = check_order(Path(colors), inputs, words, Path(out), dict(options), manner)
    return _carry_out(order, progress or (lambda *_: None))


def _carry_out(order: ImageOrder, progress: Progress) -> BuildReport:
    report = BuildReport(order.out)
    manner = order.manner
    engine = open_engine(manner.engine, manner.workers, manner.ray_address)
    progress("scan", 0, 0)
    reader, mask_reader = order.inputs.readers(order.options, order.categories)
    jobs = order.inputs.scan(reader, mask_reader, order.sentences, order.categories, report.problems)
    split_of = None
    if order.plan.lists or order.plan.folders:  # what no list names need not be built
        split_of = _split(jobs, order, report.problems)
        jobs = [job for job in jobs if split_of[job.position] is not None]
    if not jobs:
        raise DataError([_no_images(order.inputs), *report.problems])
    if manner.engine == "auto" and len(jobs) <= CHUNK:
        engine = Engine()  # done before a pool would have started

    new = made_anew(order.out)
    try:
        with engine, closing(Journal(order.out)) as journal:
            remove_leftovers(order.out)
            recipe = recipe_of(reader, mask_reader, order, journal)
            done = build_all(engine, recipe, jobs, journal, report, progress)
            _stop_if_asked(order, done, report)
            if split_of is None:
                split_of = _split(done, order, report.problems, journal)
            report.problems += splits.absent_categories(
                [_member(job, journal) for job in done],
                [split_of[job.position] for job in done],
                {category.id: category.name for category in order.categories},
            )
            progress("assemble", 0, len(done))
            placed = [(job, split) for job in done if (split := split_of[job.position]) is not None]
            report.problems += spoken_otherwise(category.name for category in order.categories)
            options = _options_told(order, reader, mask_reader)
            report.splits = assemble(order.out, journal, placed, order.categories, order.inputs.name, options)
            _write_problems(order.out, report.problems)
            journal.keep_only(job.main.name for job, _ in placed)
    except _Refused as refusal:
        if new is not None:
            with writing(new):
                shutil.rmtree(new)
        raise DataError(refusal.problems) from None
    progress("done", len(done), len(done))
    return report


def _member(job: Job, journal: Journal | None) -> splits.Member:
    """An image as the splits see it; the journal knows what is in it."""
    entry = journal.get(job.main.name) if journal else None
    return splits.Member(job.main.name, entry.categories if entry else frozenset(), job.main.split)


def _split(
    jobs: list[Job], order: ImageOrder, problems: list[Problem], journal: Journal | None = None
) -> dict[int, str | None]:
    """The split of every image by its position, None for those that get none."""
    members = [_member(job, journal) for job in jobs]
    group_by = re.compile(order.options.group_by) if order.options.group_by else None
    chosen = splits.assign(members, order.plan, group_by, order.options.seed, problems)
    return {job.position: split for job, split in zip(jobs, chosen, strict=True)}


class _Refused(DataError):
    """Images were built, but no dataset shall be made of them."""


def _no_images(inputs: Inputs) -> Problem:
    remedy = "Check the path and --format, see 'seem-data formats'; --masks reads PNG files."
    where = str(inputs.polys or inputs.masks)
    return Problem("no-images", "holds no annotated image to build.", remedy, where)


def _stop_if_asked(order: ImageOrder, done: list[Job], report: BuildReport) -> None:
    """
    Raises:
        _Refused: the user wants nothing rather than this, or there is nothing.
    """
    errors = [problem for problem in report.problems if problem.severity == "error"]
    strangers = [problem for problem in errors if problem.code == "unknown-label"]
    for option, found in (
        ("--strict", errors if order.manner.strict else []),
        ("--unknown", strangers if order.options.unknown == "error" else []),
    ):
        if found:
            message = f"nothing was built, for there are {len(found)} error(s)."
            remedy = "Mend them, or build without this option."
            raise _Refused([Problem("nothing-built", message, remedy, where=option), *report.problems])
    if not done:
        raise _Refused(report.problems)


def _options_told(order: ImageOrder, reader: Reader | None, mask_reader: Reader | None) -> dict[str, object]:
    """The options for dataset.json: no paths, so that the same input gives the same bytes anywhere."""
    formats = [each.name for each in (reader, mask_reader) if each is not None]
    told: dict[str, object] = asdict(order.options) | {
        "format": "+".join(formats),
        "split": order.plan.as_option(),
    }
    chosen = order.inputs.annotator
    return told if chosen is None else {**told, "annotator": chosen}


def _write_problems(out: Path, problems: Iterable[Problem]) -> None:
    path = out / PROBLEMS_JSON
    rows = [problem.as_dict() for problem in problems]
    if rows:
        write_atomically(path, msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    else:
        with writing(path):
            path.unlink(missing_ok=True)
