"""``seem-train predict``: photos in, pictures and COCO files out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seem_train.cli.numbers import check_numbers
from seem_train.errors import UserError

if TYPE_CHECKING:
    from seem_train.prediction.many import Outcome

_LISTED = 20  #: up to so many photos are told one by one
_NAMED = 6  #: regions told of each
_PROMPTS, _TASKS, _HOW = "What to look for", "Everything", "How"


def predict(
    model: Annotated[str, typer.Argument(help="run folder, weights file, or a model such as focal-l")],
    images: Annotated[list[str], typer.Argument(help="photos, folders, or patterns such as 'shots/*.jpg'")],
    panoptic: Annotated[
        bool,
        typer.Option(
            "--panoptic", help="every pixel to one thing or kind of stuff \\[default]", rich_help_panel=_TASKS
        ),
    ] = False,
    semantic: Annotated[
        bool, typer.Option("--semantic", help="every pixel to one category", rich_help_panel=_TASKS)
    ] = False,
    instances: Annotated[
        bool, typer.Option("--instances", help="things one by one", rich_help_panel=_TASKS)
    ] = False,
    categories: Annotated[
        str | None,
        typer.Option(
            help="names, as 'mug,table'; default: the run's, else COCO's 133", rich_help_panel=_TASKS
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="'the red mug'; repeat for more objects", rich_help_panel=_PROMPTS),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(
            help="x,y on an object, or x,y,0 beside it; all points are of one object",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            help="left,top,right,bottom around an object; repeat for more", rich_help_panel=_PROMPTS
        ),
    ] = None,
    stroke: Annotated[
        list[str] | None,
        typer.Option(help="'x,y x,y …', a line over an object; repeat for more", rich_help_panel=_PROMPTS),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="photo.jpg:mask.png, what is masked in another photo; repeat for more objects",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="folder to write to")] = Path("predictions"),
    annotations: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="annotations to correct, in OUT/FORMAT: labelme, coco, labelstudio, cvat or yolo",
            metavar="FORMAT",
        ),
    ] = None,
    min_score: Annotated[float, typer.Option(help="of instances, 0 to 1", rich_help_panel=_HOW)] = 0.3,
    object_threshold: Annotated[
        float | None,
        typer.Option(help="least score of a panoptic segment (the original: 0.8)", rich_help_panel=_HOW),
    ] = None,
    overlap_threshold: Annotated[
        float | None,
        typer.Option(help="least share of itself that a segment must keep (0.8)", rich_help_panel=_HOW),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--model", help="model of a weights file that does not tell", rich_help_panel=_HOW),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="shorter side of the photos for the model; default: the run's, else 800",
            rich_help_panel=_HOW,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="photos at once; default: 8 on a GPU, 1 on the CPU", rich_help_panel=_HOW),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda", rich_help_panel=_HOW)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16", rich_help_panel=_HOW)] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON", rich_help_panel=_HOW)] = False,
) -> None:
    """Segment photos: everything in them, or what words, points, boxes, strokes and other photos ask for.

    Prompts of several kinds speak of the same objects. Photos that cannot be read are listed at the end.
    """
    prompts = _prompts(text, point, box, stroke)
    check_numbers(
        {
            "--min-score": min_score,
            "--object-threshold": object_threshold,
            "--overlap-threshold": overlap_threshold,
        },
        {"--size": size, "--batch": batch},
    )
    from seem_train.prediction.many import Wanted
    from seem_train.prediction.many import predict as run
    from seem_train.prediction.photo import find_photos, open_mask, open_photo
    from seem_train.prediction.proposals import check_format

    if annotations is not None:
        check_format(annotations, out / annotations)
        if sum((panoptic, semantic, instances, bool(prompts or reference))) > 1:
            raise UserError("--as writes one kind of answer: panoptic, semantic, instances or prompts")
    photos = find_photos(images)
    if reference:
        pairs = [_pair(value) for value in reference]
        prompts["reference"] = [(open_photo(photo), open_mask(mask)) for photo, mask in pairs]
    from seem_train.prediction.predictor import Predictor
    from seem_train.runtime import pick_device, pick_precision
    from seem_train.weights.opening import open_model

    target = pick_device(device)
    predictor = Predictor(
        open_model(model, preset, target).model,
        categories,
        size=size,
        precision=pick_precision(precision, target),
    )
    wanted = Wanted(
        panoptic=panoptic or not (semantic or instances or prompts),
        semantic=semantic,
        instances=instances,
        prompts=prompts,
        object_threshold=object_threshold,
        overlap_threshold=overlap_threshold,
        min_score=min_score,
        annotations=annotations,
    )
    console = Console(stderr=True)
    columns = TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(photos))
        outcome = run(
            predictor,
            photos,
            wanted,
            out,
            batch or (8 if target.type == "cuda" else 1),
            lambda done: bar.update(task, completed=done),
        )
    if as_json:
        print(
            json.dumps(
                {"out": str(out), "photos": outcome.rows, "problems": outcome.problems}, ensure_ascii=False
            )
        )
    else:
        _print(outcome, out)
        if annotations is not None and outcome.rows:
            print(f"to correct: {out / annotations}")
    if not outcome.rows:
        raise UserError("\n".join(outcome.problems))
    if outcome.problems:
        shown = "\n".join(f"  {problem}" for problem in outcome.problems)
        print(f"{len(outcome.problems)} of {len(photos)} photos were left out:\n{shown}", file=sys.stderr)
        raise typer.Exit(1)


def _prompts(
    text: list[str] | None, point: list[str] | None, box: list[str] | None, stroke: list[str] | None
) -> dict[str, Any]:
    prompts: dict[str, Any] = {}
    if text:
        prompts["text"] = text
    if point:
        prompts["points"] = [_numbers("--point", value, "x,y or x,y,0", (2, 3)) for value in point]
    if box:
        prompts["boxes"] = [_numbers("--box", value, "left,top,right,bottom", (4,)) for value in box]
    if stroke:
        prompts["strokes"] = [
            [_numbers("--stroke", vertex, "'x,y x,y …'", (2, 3)) for vertex in value.split()]
            for value in stroke
        ]
    return prompts


def _numbers(option: str, value: str, form: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    try:
        numbers = tuple(float(number) for number in value.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts:
        raise UserError(f"{option} {value!r}: give {form}, in pixels of the photo")
    return numbers


def _pair(value: str) -> tuple[Path, Path]:
    photo, colon, mask = value.rpartition(":")
    if not colon or not photo or not mask:
        raise UserError(f"--reference {value!r}: give photo.jpg:mask.png")
    return Path(photo).expanduser(), Path(mask).expanduser()


def _print(outcome: Outcome, out: Path) -> None:
    if not outcome.rows:
        return
    for row in outcome.rows if len(outcome.rows) <= _LISTED else []:
        for task in ("panoptic", "semantic", "instances", "prompts"):
            if task in row:
                print(f"{row['file']}  {task}: {_found(row[task], row['width'] * row['height'])}")
    plural = "" if len(outcome.rows) == 1 else "s"
    print(f"{len(outcome.rows)} photo{plural} → {out / 'overlays'}" + _sheet(out))


def _found(regions: list[dict[str, Any]], pixels: int) -> str:
    if not regions:
        return "nothing"
    named = [
        f"{region['name']} {region['score']:.2f}"
        if "score" in region
        else f"{region['name']} {region['area'] / pixels:.0%}"
        for region in regions[:_NAMED]
    ]
    more = len(regions) - _NAMED
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _sheet(out: Path) -> str:
    sheet = out / "contact_sheet.png"
    return f", all at a glance in {sheet}" if sheet.is_file() else ""
