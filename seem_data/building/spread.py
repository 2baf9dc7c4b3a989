"""The images of a build, spread over an engine's workers; what comes back goes into the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial

import msgspec

from seem_data.building.assemble import splits_on_disk
from seem_data.building.job import ImageResult, Job, Recipe
from seem_data.building.journal import Journal
from seem_data.building.one_image import build_images
from seem_data.building.order import ImageOrder
from seem_data.building.report import BuildReport, Progress
from seem_data.common.files import sha256
from seem_data.engines.spread import Casualty, Engine
from seem_data.limits import DEFAULT_MEGAPIXELS
from seem_data.problems import Problem, once_a_file
from seem_data.readers import Reader
from seem_data.version import __version__

#: Images a worker gets at a time: sending them then costs next to nothing.
CHUNK = 25


def recipe_of(
    reader: Reader | None, mask_reader: Reader | None, order: ImageOrder, journal: Journal
) -> Recipe:
    """What all images of the build have in common."""
    options, manner, categories = order.options, order.manner, order.categories
    told = [asdict(category) for category in categories]
    formats = [getattr(each, "name", None) for each in (reader, mask_reader)]
    decisive: list[object] = [__version__, formats, options.of_images(), told]
    if manner.max_megapixels != DEFAULT_MEGAPIXELS:  # a lower bound leaves out what was built before
        decisive.append(manner.max_megapixels)
    return Recipe(
        reader=reader,
        mask_reader=mask_reader,
        categories=categories,
        options=options,
        manner=manner,
        out=order.out.absolute(),
        staged=journal.staged.absolute(),
        splits=tuple(splits_on_disk(order.out)),
        digest=sha256(msgspec.json.encode(decisive)),
    )


def build_all(
    engine: Engine,
    recipe: Recipe,
    jobs: list[Job],
    journal: Journal,
    report: BuildReport,
    progress: Progress,
) -> list[Job]:
    """Build or keep every image; the report gets what there is to tell.

    Returns:
        the jobs whose images are in the journal now, in order.

    Raises:
        OutputError: the output cannot be written.
    """
    by_position = {job.position: job for job in jobs}
    problems: dict[int, list[Problem]] = {}
    done: set[int] = set()
    seconds: Counter[str] = Counter()
    count = 0
    for results in engine.map(partial(build_images, recipe), _chunks(jobs, journal)):
        for result in _results(results):
            count += 1
            job = by_position[result.position]
            seconds.update(result.seconds)
            if result.line is not None and result.entry is not None:
                journal.add(result.line, result.entry)
                report.built += 1
                done.add(result.position)
            elif result.kept:
                report.kept += 1
                done.add(result.position)
            else:
                report.failed += 1
            problems[result.position] = _problems_of_kept(job, journal) if result.kept else result.problems
        progress("images", count, len(jobs))
    told = (problem for position in sorted(problems) for problem in problems[position])
    report.problems += once_a_file(told)
    report.seconds = dict(seconds)
    return [job for job in jobs if job.position in done]


def _problems_of_kept(job: Job, journal: Journal) -> list[Problem]:
    """What an earlier build told of the image; files are named where they lie now."""
    built = journal.read(job.main.name)
    if len(built.places) != len(job.places):  # a journal of an earlier version
        return built.problems
    now_at = dict(zip(built.places, job.places, strict=True))
    now_at |= {f"{old} (embedded)": f"{new} (embedded)" for old, new in now_at.items()}
    return [replace(problem, file=now_at.get(problem.file, problem.file)) for problem in built.problems]


def _chunks(jobs: list[Job], journal: Journal) -> Iterator[list[Job]]:
    for start in range(0, len(jobs), CHUNK):
        chunk = jobs[start : start + CHUNK]
        yield [replace(job, known=journal.get(job.main.name)) for job in chunk]


def _results(returned: list[ImageResult] | Casualty[Job]) -> list[ImageResult]:
    if not isinstance(returned, Casualty):
        return returned
    job = returned.job
    message = f"the process that built {job.main.name} was killed twice, most likely for want of memory."
    remedy = "Use fewer --workers, or downscale the photo; the same command then builds what is missing."
    problem = Problem("killed", message, remedy, str(job.main.source))
    return [ImageResult(job.position, problems=[problem])]
