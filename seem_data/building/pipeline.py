"""The pipeline: find the images, build each (`one_image`), split them, put them in place (`assemble`).

Stopped at any moment, the same call goes on where it was; a call after changes builds what changed. Either
way the dataset is, to the byte, what one undisturbed build makes, whatever engine and number of workers.
"""

from __future__ import annotations

import importlib
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from seem_data import __version__, readers
from seem_data import categories as colour_map
from seem_data.building.assemble import Placed, assemble, splits_on_disk
from seem_data.building.journal import FOLDER, Journal, remove_leftovers
from seem_data.building.naming import Names
from seem_data.building.one_image import Job, Outcome, Recipe, build_images
from seem_data.building.options import Options
from seem_data.building.pairs import pair
from seem_data.categories import Categories
from seem_data.engines.choose import Casualty, Engine, InProcess, check_engine, open_engine
from seem_data.files import sha256, write_atomically, writing
from seem_data.layout import DATASET_JSON, PROBLEMS_JSON, Counts
from seem_data.problems import DataError, Problem, attempt
from seem_data.readers import Input, Item, Reader
from seem_data.sentences.file import SentencesFile
from seem_data.splits import assign as splits
from seem_data.splits.plan import Plan
from seem_data.splits.plan import parse as parse_plan

#: Images a worker gets at a time: sending them then costs next to nothing.
CHUNK = 25

#: Told (step, done, total) as the work goes on; a total of 0 is one not known yet.
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class BuildReport:
    """What a build did.

    Attributes:
        out: the dataset's folder.
        splits: what each split holds.
        problems: all of them; those of images in the order of the input.
        built, kept, failed: images made now, found unchanged from an earlier build, left out.
        seconds: what the workers spent, by stage.
    """

    out: Path
    splits: dict[str, Counts] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    built: int = 0
    kept: int = 0
    failed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def has_errors(self) -> bool:
        """Whether anything of the input was left out."""
        return any(problem.severity == "error" for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        return {
            "out": str(self.out),
            "splits": {name: asdict(counts) for name, counts in self.splits.items()},
            "built": self.built,
            "kept": self.kept,
            "failed": self.failed,
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "problems": [problem.as_dict() for problem in self.problems],
        }


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
    workers: int | None = None,
    engine: str = "auto",
    ray_address: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> BuildReport:
    """Build a dataset from annotations, or bring one up to date.

    Args:
        colors: the colour map, see `categories`.
        polys: folder or file of polygon annotations.
        out: the dataset's folder; new, empty, or a dataset built before.
        masks: folder of painted masks, the ground that polygons are drawn over. One of both must be given.
        images: the photos' folder where it is not the annotations' own.
        sentences: a file of sentences, see `sentences_file`.
        annotator: whose work is read where several annotated the same photo; by default the newest.
        strict: change nothing if anything would have to be left out.
        workers: processes; by default one for each core.
        engine: ``auto``, ``local``, ``pool`` or ``ray``.
        ray_address: of a running Ray cluster; by default Ray is started here.
        progress: called as the work goes on.
        options: fields of `Options`.

    Raises:
        DataError: nothing was built, the dataset is as it was; it carries all problems found.
            Only an `OutputError` (disk full, …) may leave it in between; the same call then goes on.

    Example::

        from seem_data import build
        build(colors="cats.json", polys="ann/", out="dataset", split="train=0.9,val=0.1")
    """
    inputs = _Inputs(*(Path(path) if path is not None else None for path in (polys, masks, images)))
    out, report = Path(out), BuildReport(Path(out))
    progress = progress or _silent
    faults: list[Problem] = []
    chosen = attempt(faults, Options.of, options) or Options()
    plan = attempt(faults, parse_plan, chosen.split)
    attempt(faults, check_engine, engine, workers, ray_address)
    attempt(faults, inputs.check, out)
    categories = attempt(faults, colour_map.load, Path(colors))
    sentences_file = attempt(faults, SentencesFile, Path(sentences)) if sentences is not None else None
    faults += chosen.faults(categories)
    if faults or plan is None or categories is None:
        raise DataError(faults)
    importlib.import_module(
        "seem_data.encoding.segment_ids"
    )  # no panopticapi: told once, not for every image
    spread = open_engine(engine, workers, ray_address)

    progress("scan", 0, 0)
    reader, mask_reader = inputs.readers(chosen, categories)
    jobs = inputs.scan(reader, mask_reader, sentences_file, categories, annotator, report.problems)
    split_of = _split_beforehand(jobs, plan, chosen, report.problems)
    jobs = [job for job in jobs if split_of is None or split_of[job.position] is not None]
    if not jobs:
        remedy = "Check the path and --format, see 'seem-data formats'; --masks reads PNG files."
        nothing = Problem("no-images", "holds no annotated image to build.", remedy, str(polys or masks))
        raise DataError([nothing, *report.problems])

    if engine == "auto" and len(jobs) <= CHUNK:
        spread = InProcess()  # done before a pool would have started
    before = _Before(out)
    try:
        with spread, Journal(out) as journal:
            remove_leftovers(out)
            recipe = _recipe(reader, mask_reader, categories, chosen, out, journal)
            done = _build_images(spread, recipe, jobs, journal, report, progress)
            _stop_if_asked(strict, chosen, done, report)
            if split_of is None:
                split_of = _split(done, journal, plan, chosen, report.problems)
            report.problems += splits.absent_categories(
                [_member(job, journal) for job in done],
                [split_of[job.position] for job in done],
                {category.id: category.name for category in categories},
            )
            progress("assemble", 0, len(done))
            placed = [
                Placed(job.position + 1, job.main.name, split)
                for job in done
                if (split := split_of[job.position]) is not None
            ]
            info = {"name": inputs.name, "options": _told_options(chosen, plan, reader, mask_reader)}
            report.splits = assemble(out, journal, placed, categories, info)
            _write_problems(out, report.problems)
            journal.keep_only(image.name for image in placed)
    except _Refused as refusal:
        before.restore()
        raise DataError(refusal.problems) from None
    progress("done", len(done), len(done))
    return report


def _silent(step: str, done: int, total: int) -> None:
    pass


class _Refused(DataError):
    """Images were built, but no dataset shall be made of them."""


# Input


@dataclass(frozen=True, slots=True)
class _Inputs:
    polys: Path | None
    masks: Path | None
    images: Path | None

    @property
    def name(self) -> str:
        """Of the dataset: its input's, so that it does not depend on where the dataset lies."""
        return (self.polys or self.masks or Path()).resolve().stem

    def check(self, out: Path) -> None:
        """
        Raises:
            DataError: an input is missing, input and output contain each other, or the output holds
                something else.
        """
        problems = []
        if self.polys is None and self.masks is None:
            remedy = "Give --polys ANNOTATIONS, --masks PAINTED, or both."
            problems.append(Problem("no-input", "there is nothing to build from.", remedy))
        for option, path in (("--polys", self.polys), ("--masks", self.masks), ("--images", self.images)):
            if path is None:
                continue
            if not _exists(path):
                problem = Problem(
                    "missing-input", "there is no such file or folder.", "", str(path), where=option
                )
                problems.append(problem)
            elif overlap := _overlap(out, path):
                remedy = "Choose a folder of its own with --out."
                problems.append(Problem("output-in-input", overlap, remedy, str(out), where="--out"))
        problems += _unfit_output(out)
        if problems:
            raise DataError(problems)

    def readers(self, options: Options, categories: Categories) -> tuple[Reader | None, Reader | None]:
        """
        Raises:
            DataError: the format is not recognised.
        """
        reader = mask_reader = None
        if self.polys is not None:
            auto = options.format == "auto"
            reader = readers.detect(self.polys) if auto else readers.get(options.format)
        if self.masks is not None:
            from seem_data.readers.colormask import open_masks

            mask_reader = open_masks(self.masks, categories, options.instances)
        return reader, mask_reader

    def scan(
        self,
        reader: Reader | None,
        mask_reader: Reader | None,
        sentences: SentencesFile | None,
        categories: Categories,
        annotator: str | None,
        problems: list[Problem],
    ) -> list[Job]:
        """All images of the input in its order, each with its mask and its sentences."""
        items: Iterable[Item] = ()
        grounds: Iterable[Item] = ()
        if reader and self.polys:
            items = reader.scan(Input(self.polys, self.images, categories.find, annotator), problems)
        if mask_reader and self.masks:
            grounds = mask_reader.scan(Input(self.masks, self.images, categories.find), problems)
        names, jobs = Names(), []
        for position, (item, ground) in enumerate(pair(items, grounds, problems)):
            name = (item or ground).name  # type: ignore[union-attr]
            words = sentences.of(name) if sentences else None
            jobs.append(Job(position, names.take(name), item, ground, words))
        if sentences is not None:
            problems += sentences.unused()
        return jobs


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a loop of links; a name that cannot be one
        return False


def _overlap(out: Path, source: Path) -> str | None:
    """How output and input contain each other, if they do."""
    out, source = _resolved(out), _resolved(source)
    if out == source:
        return f"is the input {source.name!r} itself."
    if source in out.parents:
        return f"lies inside the input {source.name!r}: the next build would read its own output."
    if out in source.parents:
        return f"contains the input {source.name!r}."
    return None


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _unfit_output(out: Path) -> Iterator[Problem]:
    """The output must be new, empty, or a dataset built before."""
    try:
        if not out.exists() and not out.is_symlink():
            return
        entries = {path.name for path in out.iterdir()}
    except OSError as error:
        remedy = "Choose another folder."
        yield Problem("bad-output", f"cannot be used ({error.strerror}).", remedy, str(out), where="--out")
        return
    if entries and not entries & {DATASET_JSON, FOLDER}:
        yield Problem(
            "bad-output",
            f"holds files that are no dataset, e.g. {min(entries)!r}.",
            "Choose a new or empty folder, or a dataset built before.",
            str(out),
            where="--out",
        )


class _Before:
    """What there was of the output before the build, to leave it like that where nothing is built."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._was_there = out.exists()
        self._had_journal = (out / FOLDER).exists()

    def restore(self) -> None:
        new = None if self._had_journal else self._out / FOLDER if self._was_there else self._out
        if new is not None:
            with writing(new):
                shutil.rmtree(new)


# Images


def _recipe(
    reader: Reader | None,
    mask_reader: Reader | None,
    categories: Categories,
    options: Options,
    out: Path,
    journal: Journal,
) -> Recipe:
    told = [asdict(category) for category in categories]
    formats = [getattr(each, "name", None) for each in (reader, mask_reader)]
    digest = sha256(msgspec.json.encode([__version__, formats, options.of_images(), told]))
    return Recipe(
        reader,
        mask_reader,
        categories,
        options.raster,
        options.unknown,
        options.sentences_per_segment if options.generated else 0,
        options.seed,
        out.absolute(),
        journal.staged.absolute(),
        tuple(splits_on_disk(out)),
        digest,
    )


def _build_images(
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
    for outcomes in engine.map(partial(build_images, recipe), _chunks(jobs, journal)):
        for outcome in _outcomes(outcomes):
            count += 1
            name = by_position[outcome.position].main.name
            seconds.update(outcome.seconds)
            if outcome.line is not None and outcome.entry is not None:
                journal.add(outcome.line, outcome.entry)
                report.built += 1
                done.add(outcome.position)
            elif outcome.kept:
                report.kept += 1
                done.add(outcome.position)
            else:
                report.failed += 1
            problems[outcome.position] = journal.read(name).problems if outcome.kept else outcome.problems
        progress("images", count, len(jobs))
    report.problems += (problem for position in sorted(problems) for problem in problems[position])
    report.seconds = dict(seconds)
    return [job for job in jobs if job.position in done]


def _chunks(jobs: list[Job], journal: Journal) -> Iterator[list[Job]]:
    for start in range(0, len(jobs), CHUNK):
        chunk = jobs[start : start + CHUNK]
        yield [replace(job, known=journal.get(job.main.name)) for job in chunk]


def _outcomes(result: list[Outcome] | Casualty[Job]) -> list[Outcome]:
    if not isinstance(result, Casualty):
        return result
    job = result.job
    problem = Problem(
        "killed",
        f"the process that built {job.main.name} was killed twice, most likely for want of memory.",
        "Use fewer --workers, or downscale the photo; the same command then builds what is missing.",
        str(job.main.source),
    )
    return [Outcome(job.position, problems=[problem])]


def _stop_if_asked(strict: bool, options: Options, done: list[Job], report: BuildReport) -> None:
    """
    Raises:
        _Refused: the user wants nothing rather than this, or there is nothing.
    """
    errors = [problem for problem in report.problems if problem.severity == "error"]
    strangers = [problem for problem in errors if problem.code == "unknown-label"]
    for option, found in (
        ("--strict", errors if strict else []),
        ("--unknown", strangers if options.unknown == "error" else []),
    ):
        if found:
            message = f"nothing was built, for there are {len(found)} error(s)."
            remedy = "Mend them, or build without this option."
            raise _Refused([Problem("nothing-built", message, remedy, where=option), *report.problems])
    if not done:
        raise _Refused(report.problems)


# Splits


def _member(job: Job, journal: Journal) -> splits.Member:
    entry = journal.get(job.main.name)
    present = entry.categories if entry else frozenset()
    return splits.Member(job.main.name, present, job.main.split)


def _split_beforehand(
    jobs: list[Job], plan: Plan, options: Options, problems: list[Problem]
) -> dict[int, str | None] | None:
    """The split of every image where the plan does not depend on what is in it, so that images that no list
    names need not be built."""
    if not (plan.lists or plan.folders):
        return None
    members = [splits.Member(job.main.name, split=job.main.split) for job in jobs]
    return _assign(jobs, members, plan, options, problems)


def _split(
    jobs: list[Job], journal: Journal, plan: Plan, options: Options, problems: list[Problem]
) -> dict[int, str | None]:
    return _assign(jobs, [_member(job, journal) for job in jobs], plan, options, problems)


def _assign(
    jobs: list[Job],
    members: list[splits.Member],
    plan: Plan,
    options: Options,
    problems: list[Problem],
) -> dict[int, str | None]:
    group_by = re.compile(options.group_by) if options.group_by else None
    chosen = splits.assign(members, plan, group_by, options.seed, problems)
    return {job.position: split for job, split in zip(jobs, chosen, strict=True)}


# Output


def _told_options(
    options: Options, plan: Plan, reader: Reader | None, mask_reader: Reader | None
) -> dict[str, Any]:
    """The options for dataset.json: no paths, so that the same input gives the same bytes anywhere."""
    formats = [each.name for each in (reader, mask_reader) if each is not None]
    return asdict(options) | {"format": "+".join(formats), "split": plan.as_option()}


def _write_problems(out: Path, problems: Iterable[Problem]) -> None:
    path = out / PROBLEMS_JSON
    rows = [problem.as_dict() for problem in problems]
    if rows:
        write_atomically(path, msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    else:
        with writing(path):
            path.unlink(missing_ok=True)
