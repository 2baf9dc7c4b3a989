"""``seem-data``: parse ─▶ call ─▶ print. Modules are imported by the command that needs them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seem_data.cli_options import BuildChoices, MaxMegapixels, Workers, taking_choices
from seem_data.common.terminal import tell, typed
from seem_data.problems import DataError, Problem
from seem_data.terminal import progress, show, show_json, show_numbers, show_problems

if TYPE_CHECKING:
    from seem_data.building.report import BuildReport

GOOD, WITH_PROBLEMS, BAD = 0, 1, 2
_STOPPED = 130

app = typer.Typer(
    name="seem-data",
    invoke_without_command=True,
    epilog="Exit codes: 0 good, 1 built with problems, 2 bad use or bad input.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
DatasetFolder = Annotated[Path, typer.Argument(help="the dataset's folder", show_default=False)]


@app.callback()
def seem_data(version: Annotated[bool, typer.Option("--version", help="show the version")] = False) -> None:
    """Turn labelled polygons and painted masks into panoptic, semantic and grounding datasets."""
    if version:
        from seem_data.version import __version__

        tell(f"seem-tools {__version__}")
        raise typer.Exit


@app.command()
@taking_choices
def build(choices: BuildChoices, json: Json = False) -> None:
    """Build a dataset, or bring one up to date. Stopped, the same command goes on where it was."""
    with _errors(json), progress(quiet=json) as bar:
        from seem_data.building.pipeline import build as run
        from seem_data.layout import PROBLEMS_JSON

        report = run(**vars(choices), progress=bar)
    if json:
        show_json(report.as_dict())
    else:
        show_problems(report.problems, rest=str(choices.out / PROBLEMS_JSON))
        _show_build(report)
    raise typer.Exit(WITH_PROBLEMS if report.has_errors else GOOD)


def _show_build(report: BuildReport) -> None:
    rows = []
    for name, counts in report.splits.items():
        numbers = (counts.images, counts.segments, counts.instances, counts.sentences)
        rows.append([name, *(f"{number:,}" for number in numbers)])
    show_numbers(("split", "images", "segments", "instances", "sentences"), rows)
    made = [f"{_count(report.built, 'image')} built"]
    made += [f"{report.kept:,} unchanged"] if report.kept else []
    made += [f"{report.failed:,} left out"] if report.failed else []
    found = Counter(problem.severity for problem in report.problems)
    counts = [_count(found[name], name) for name in ("error", "warning", "note") if found[name]]
    told = ", ".join(counts) or "no problems"
    tell(f"{', '.join(made)}; {told}. The dataset is in {report.out}")
    out = shlex.quote(str(report.out))
    tell(f"Next: {typed('seem-data')} report {out}    (look at it)")
    tell(f"      {typed('seem-train')} run {out}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@app.command()
def init(
    polys: Annotated[
        Path, typer.Argument(help="annotations or masks: a folder or a file", show_default=False)
    ],
    images: Annotated[Path | None, typer.Option(help="photos, where they lie apart")] = None,
    format: Annotated[str, typer.Option(help="of the annotations, see 'seem-data formats'")] = "auto",
    json: Json = False,
) -> None:
    """Print a colour map of the labels found, to look over and keep: seem-data init ann/ > cats.json

    Painted or numbered masks are read, too: their colours or numbers, with pixel counts. In the file,
    "aliases": ["kitty"] gives a category further labels, "value": 7 the number that stands for it in masks.
    """
    with _errors(json):
        from seem_data.proposal import colour_map
        from seem_data.readers import Input

        problems: list[Problem] = []
        categories = colour_map(Input(polys, images), format, problems)
    show_problems(problems)
    numbers = {name: value for value, name in categories.values.items()}
    rows = [
        category.as_coco() | ({"value": numbers[category.name]} if category.name in numbers else {})
        for category in categories
    ]
    tell("[\n  " + ",\n  ".join(dumps(row, ensure_ascii=False) for row in rows) + "\n]")
    left_out = any(problem.severity == "error" for problem in problems)
    raise typer.Exit(WITH_PROBLEMS if left_out else GOOD)


@app.command()
def validate(
    dataset: DatasetFolder,
    fix: Annotated[bool, typer.Option("--fix", help="repair what can be repaired without guessing")] = False,
    max_megapixels: MaxMegapixels = 100.0,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Check every promise of a dataset on disk."""
    with _errors(json), progress(quiet=json) as bar:
        from seem_data.checking.repair import repair
        from seem_data.checking.validate import validate as check

        repaired: list[Problem] = []
        if fix:
            repaired, problems = repair(dataset, workers=workers, progress=bar, max_megapixels=max_megapixels)
        else:
            problems = check(dataset, workers=workers, progress=bar, max_megapixels=max_megapixels)
    wrong = sum(problem.severity != "note" for problem in problems)
    if json:
        rows = {"repaired": repaired, "problems": problems}
        show_json({name: [problem.as_dict() for problem in found] for name, found in rows.items()})
    else:
        show_problems(problems, rest="the output of --json")
        if repaired:
            tell(f"{_count(len(repaired), 'problem')} repaired.")
        tell(_verdict(dataset, len(problems), wrong))
    raise typer.Exit(WITH_PROBLEMS if wrong else GOOD)


def _verdict(dataset: Path, told: int, wrong: int) -> str:
    """`wrong` of what was told are problems, the others notes."""
    notes = f", {_count(told - wrong, 'note')}" if told > wrong else ""
    return f"{dataset}: {_count(wrong, 'problem')}{notes}." if wrong else f"{dataset} is valid{notes}."


@app.command()
def stats(dataset: DatasetFolder, json: Json = False) -> None:
    """Show how much a dataset holds: images, segments, pixels, sentences, by split and category."""
    with _errors(json):
        from seem_data.layout import Dataset
        from seem_data.showing import stats as numbers

        collected = numbers.collect(Dataset(dataset))
    if json:
        show_json(collected.as_dict())
    else:
        show(*numbers.tables(collected))


@app.command()
def report(
    dataset: DatasetFolder,
    out: Annotated[
        Path | None, typer.Option(help="the page [default: report.html in the dataset]", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Write one HTML page to look at: numbers, charts, overlays, sentences, problems. It works offline."""
    with _errors(json), progress(quiet=json) as bar:
        from seem_data.checking.validate import validate as check
        from seem_data.layout import Dataset
        from seem_data.showing import report as page

        problems = check(dataset, progress=bar)
        written = page.write(Dataset(dataset), out or dataset / "report.html", problems)
    if json:
        show_json({"report": str(written), "problems": len(problems)})
    else:
        tell(f"The report is in {written}")


@app.command()
def export(
    dataset: DatasetFolder,
    to: Annotated[str, typer.Option(help="seem, detectron2, coco, yolo or labelme", show_default=False)],
    out: Annotated[Path, typer.Option(help="a folder of its own", show_default=False)],
    link: Annotated[
        bool,
        typer.Option("--link", help="hard links in place of copies: who changes one changes the dataset"),
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(help="of polygons (yolo, labelme): pixels off a mask's edge for fewer points; 0: exact"),
    ] = 0.0,
    json: Json = False,
) -> None:
    """Write the dataset under the file names and in the folders that other code expects."""
    with _errors(json), progress(quiet=json) as bar:
        from seem_data.exporting.export import export as write

        problems: list[Problem] = []
        following = write(dataset, to, out, link=link, tolerance=tolerance, problems=problems, progress=bar)
    if json:
        rows = [problem.as_dict() for problem in problems]
        show_json({"out": str(out), "next": following, "problems": rows})
        return
    show_problems(problems)
    tell(f"Exported for {to} to {out}")
    for command in following:
        tell(f"Next: {command}")


@app.command()
def formats(json: Json = False) -> None:
    """List the annotation formats: how each is recognised, which shapes are read, what becomes of EXIF."""
    from seem_data.readers import all_readers
    from seem_data.readers.colormask import ColorMask

    facts = ("name", "title", "recognised_by", "shapes", "exif")
    known = [*all_readers(), ColorMask()]
    rows = [{fact: getattr(reader, fact) for fact in facts} for reader in known]
    if json:
        show_json(rows)
        return
    from rich.table import Table

    table = Table("--format", "", "recognised by", "shapes", "EXIF", show_lines=True)
    for row in rows:
        table.add_row(*row.values())
    show(table)


@contextmanager
def _errors(json: bool) -> Iterator[None]:
    """Errors of the block as problems, exit code 2."""
    try:
        yield
    except DataError as error:
        _show_errors(error.problems, json)
        raise typer.Exit(BAD) from None
    except ImportError as error:
        _show_errors([_broken_install(error)], json)
        raise typer.Exit(BAD) from None
    except KeyboardInterrupt:
        tell("Stopped. The same command goes on from here.", err=True)
        raise typer.Exit(_STOPPED) from None


def _show_errors(problems: list[Problem], json: bool) -> None:
    if json:
        show_json({"problems": [problem.as_dict() for problem in problems]})
    else:
        show_problems(problems, rest="the output of --json")


def _broken_install(error: ImportError) -> Problem:
    remedy = "Install seem-tools again, with all it depends on."
    if "libGL" in str(error) or error.name == "cv2":
        remedy = (
            "Where there is no screen, use the OpenCV without one: "
            "pip uninstall opencv-python && pip install opencv-python-headless"
        )
    return Problem("broken-install", f"A library cannot be loaded ({error}).", remedy)
