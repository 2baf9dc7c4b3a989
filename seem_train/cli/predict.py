"""``seem-train predict``: photos in, pictures and COCO files out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from seem_data.common.terminal import tell
from seem_data.writers import FORMATS
from seem_train.cli import options
from seem_train.cli.early import check_model
from seem_train.cli.options import argument, option, with_options
from seem_train.cli.progress import progress, say
from seem_train.errors import UserError
from seem_train.prediction.finding import find_photos
from seem_train.prediction.proposals.format import check_format
from seem_train.ranges import MAX_PIXELS, check_ranges

if TYPE_CHECKING:
    from seem_train.prediction.many import Outcome, PredictRequest
    from seem_train.prediction.predictor import Predictor
    from seem_train.prediction.prompt_types import Prompts
    from seem_train.weights.thresholds import MinScores

_LISTED = 20  #: up to so many photos are told one by one
_NAMED = 6  #: regions told of each
_PROMPTS, _TASKS, _HOW = "What to look for", "Everything", "How"


@dataclass(frozen=True)
class PredictOptions:
    model: str = argument(options.MODEL)
    images: list[str] = argument("photos, folders, or patterns such as 'shots/*.jpg'")
    panoptic: bool = option(
        False, "every pixel to one thing or kind of stuff \\[default]", "--panoptic", _TASKS
    )
    semantic: bool = option(False, "every pixel to one category", "--semantic", _TASKS)
    instances: bool = option(False, "things one by one", "--instances", _TASKS)
    categories: str | None = options.categories_option(_TASKS)
    text: list[str] | None = option(None, "'the red mug'; repeat for more objects", panel=_PROMPTS)
    point: list[str] | None = option(
        None, "x,y on an object, or x,y,0 beside it; all points are of one object", panel=_PROMPTS
    )
    box: list[str] | None = option(
        None, "left,top,right,bottom around an object; repeat for more", panel=_PROMPTS
    )
    stroke: list[str] | None = option(
        None, "'x,y x,y …', a line over an object; repeat for more", panel=_PROMPTS
    )
    reference: list[str] | None = option(
        None, "photo.jpg:mask.png, what is masked in another photo; repeat for more objects", panel=_PROMPTS
    )
    out: Path = option(Path("predictions"), "folder to write to")
    annotations: str | None = option(
        None,
        "annotations to correct, in OUT/FORMAT: labelme, coco, labelstudio, cvat or yolo",
        "--as",
        metavar="FORMAT",
        words=FORMATS,
    )
    review: Path | None = option(
        None, "new folder for a table and pictures of what was found, photos the model is least sure of first"
    )
    min_score: float | None = option(
        None,
        "least score of instances, texts and marks, 0 to 1; default: what its run measured, else 0.3, "
        "for prompts 0",
        panel=_HOW,
    )
    object_threshold: float | None = option(None, options.OBJECT_THRESHOLD, panel=_HOW)
    overlap_threshold: float | None = option(None, options.OVERLAP_THRESHOLD, panel=_HOW)
    preset: str | None = option(None, options.PRESET, "--model", _HOW)
    size: int | None = option(None, f"{options.SIZE} for the model; default: the run's, else 800", panel=_HOW)
    batch: int | None = option(None, "photos at once; default: 8 on a GPU, 1 on the CPU", panel=_HOW)
    max_pixels: int = option(MAX_PIXELS, options.MAX_PIXELS, panel=_HOW)
    device: str = options.device_option(_HOW)
    precision: str = options.precision_option(_HOW)
    as_json: bool = option(False, options.AS_JSON, "--json", _HOW)


@with_options(PredictOptions)
def predict(chosen: PredictOptions) -> None:
    """Segment photos: everything in them, or what words, points, boxes, strokes and other photos ask for.

    Prompts of several kinds speak of the same objects. Photos that cannot be read are listed at the end.
    """
    typed = _typed(chosen)
    check_ranges(
        {
            "--min-score": chosen.min_score,
            "--object-threshold": chosen.object_threshold,
            "--overlap-threshold": chosen.overlap_threshold,
        },
        {"--size": chosen.size, "--batch": chosen.batch, "--max-pixels": chosen.max_pixels},
    )
    if chosen.annotations is not None:
        check_format(chosen.annotations, chosen.out / chosen.annotations)
        if sum((chosen.panoptic, chosen.semantic, chosen.instances, any(typed.values()))) > 1:
            raise UserError("--as writes one kind of answer: panoptic, semantic, instances or prompts")
    if chosen.review is not None and chosen.review.is_dir() and any(chosen.review.iterdir()):
        raise UserError(f"--review {chosen.review}: is not empty; name another folder")
    photos = find_photos(chosen.images)
    check_model(chosen.model)
    say(f"loading {chosen.model} …", chosen.as_json)
    from seem_train.prediction.many import predict as answer

    prompts = _prompts(typed, chosen.max_pixels)
    predictor, measured = _predictor(chosen)
    batch = chosen.batch or (8 if predictor.model.device.type == "cuda" else 1)
    with progress(chosen.as_json) as show:
        outcome = answer(
            predictor,
            photos,
            _wanted(chosen, prompts, measured),
            chosen.out,
            batch,
            lambda done: show("predicting", done, len(photos)),
        )
    if chosen.as_json:
        found = {"out": str(chosen.out), "photos": outcome.rows, "problems": outcome.problems}
        tell(json.dumps(found, ensure_ascii=False))
    else:
        _print(outcome, chosen.out)
        if chosen.annotations is not None and outcome.rows:
            tell(f"to correct: {chosen.out / chosen.annotations}")
    if chosen.review is not None:
        _review(outcome, chosen.review, chosen.as_json)
    if not outcome.rows:
        raise UserError("\n".join(outcome.problems))
    if outcome.problems:
        shown = "\n".join(f"  {problem}" for problem in outcome.problems)
        tell(f"{len(outcome.problems)} of {len(photos)} photos were left out:\n{shown}", err=True)
    if outcome.problems or outcome.never_found():
        raise typer.Exit(1)


def _predictor(chosen: PredictOptions) -> tuple[Predictor, MinScores]:
    from seem_train.prediction.predictor import Predictor
    from seem_train.runtime import pick_device, pick_precision
    from seem_train.weights.opening import open_model
    from seem_train.weights.thresholds import read_thresholds

    device = pick_device(chosen.device)
    precision = pick_precision(chosen.precision, device)
    opened = open_model(chosen.model, chosen.preset, device)
    predictor = Predictor(opened.model, chosen.categories, size=chosen.size, precision=precision)
    return predictor, read_thresholds(opened.folder)


def _wanted(chosen: PredictOptions, prompts: Prompts, measured: MinScores) -> PredictRequest:
    from seem_train.prediction.many import PredictRequest

    given = chosen.min_score
    least = {
        "min_score": given if given is not None else measured.things,
        "min_text_score": given if given is not None else measured.phrases,
        "min_mark_score": given,
    }

    return PredictRequest(
        panoptic=chosen.panoptic
        or chosen.review is not None
        or not (chosen.semantic or chosen.instances or prompts),
        semantic=chosen.semantic,
        instances=chosen.instances,
        prompts=prompts,
        object_threshold=chosen.object_threshold,
        overlap_threshold=chosen.overlap_threshold,
        **{name: score for name, score in least.items() if score is not None},
        annotations=chosen.annotations,
        max_pixels=chosen.max_pixels,
    )


# Prompts as they are typed. ------------------------------------------------------------------------------


def _typed(chosen: PredictOptions) -> dict[str, list[Any] | None]:
    """What was typed, as the arguments of `Prompts`, references as paths; nothing is opened yet."""
    return {
        "text": chosen.text,
        "points": [_numbers("--point", value, "x,y or x,y,0", (2, 3)) for value in chosen.point or ()],
        "boxes": [_numbers("--box", value, "left,top,right,bottom", (4,)) for value in chosen.box or ()],
        "strokes": [
            [_numbers("--stroke", vertex, "'x,y x,y …'", (2, 3)) for vertex in value.split()]
            for value in chosen.stroke or ()
        ],
        "reference": [_pair(value) for value in chosen.reference or ()],
    }


def _prompts(typed: dict[str, list[Any] | None], max_pixels: int) -> Prompts:
    from seem_train.prediction.photo import open_mask, open_photo
    from seem_train.prediction.prompt_types import Prompts

    opened: list[Any] = [
        (open_photo(photo, max_pixels), open_mask(mask, max_pixels))
        for photo, mask in typed["reference"] or ()
    ]
    return Prompts(**(typed | {"reference": opened}))


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
            if row.get(task) or (task in row and "not_found" not in row):
                tell(f"{row['file']}  {task}: {_found(row[task], row['width'] * row['height'])}")
        for missed in row.get("not_found", ()):
            tell(f"{row['file']}  nothing found for {missed['prompt']} (best {missed['best']:.2f})")
        if row.get("panoptic") == [] and "best_score" in row:
            tell(
                f"{row['file']}  the surest segment scores {row['best_score']:.2f}, which is not above the "
                f"threshold {row['object_threshold']:g}; lower it with --object-threshold"
            )
    if len(outcome.rows) > _LISTED:
        for prompt in outcome.never_found():
            tell(f"nothing found for {prompt} in any photo")
    plural = "" if len(outcome.rows) == 1 else "s"
    sheet = out / "contact_sheet.png"
    more = f", all at a glance in {sheet}" if sheet.is_file() else ""
    tell(f"{len(outcome.rows)} photo{plural} ─▶ {out / 'overlays'}{more}")


def _review(outcome: Outcome, folder: Path, quiet: bool) -> None:
    from seem_train.prediction.review import MEASURE, write_review

    ordered = write_review(folder, outcome.reviewed)
    if quiet:
        return
    tell(f"unsure ({MEASURE}):")
    for one in ordered[:_LISTED]:
        tell(f"  {one.unsure:.3f}  {one.file}")
    tell(f"{len(ordered)} photo{'' if len(ordered) == 1 else 's'}, least sure first ─▶ {folder}")


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
