"""A dataset for other code: in its folders, under its file names, with a module that registers it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from seem_data.common.wording import did_you_mean
from seem_data.exporting import annotations, coco, detectron2, seem
from seem_data.exporting.placing import PlacingJob
from seem_data.files import make_folder, write_atomically
from seem_data.layout import Dataset
from seem_data.problems import DataError, Problem, fault

TARGETS = ("seem", "detectron2", "coco", "yolo", "labelme")
WITH_POLYGONS = ("yolo", "labelme")

#: What is no annotation format.
_WRITERS: dict[str, Callable[[PlacingJob], list[str]]] = {
    "seem": seem.write,
    "detectron2": detectron2.write,
    "coco": coco.write,
}
#: The files that are written first, by which an earlier export is known.
_MARKS = {
    "seem": seem.LAUNCHER,
    "detectron2": detectron2.MODULE,
    **{to: f".exported-as-{to}" for to in ("coco", "yolo", "labelme")},
}


def export(
    dataset: Dataset | Path | str,
    to: str,
    out: Path | str,
    *,
    link: bool = False,
    tolerance: float = 0.0,
    problems: list[Problem] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[str]:
    """Write a dataset under the file names and in the folders that other code expects.

    Photos and PNGs are copied as they are. Files are written one by one, each whole; repeat after an
    interruption.

    Args:
        to: ``seem``, ``detectron2``, ``coco``, ``yolo`` or ``labelme``.
        out: a folder of its own.
        link: put hard links in place of copies: quick, but who changes one changes the dataset.
        tolerance: how far polygons (yolo, labelme) may lie from a mask's edge, in pixels; 0 is exact.
        problems: what the target cannot hold is told here.
        progress: called with (step, done, total) as the work goes on.

    Returns:
        the commands to type next.

    Raises:
        DataError: an option is wrong, the dataset has no split that the target knows, the folder holds
            something else, or a file is missing or unwritable.

    Example:
        >>> import seem_data
        >>> isinstance(seem_data.export("dataset", "coco", "exported"), list)
        True
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset(dataset)
    out = Path(out)
    _check_options(to, tolerance)
    mark = out / _MARKS[to]
    _check_folder(dataset, out, mark)
    if not mark.name.endswith(".py"):  # the modules are marks themselves
        write_atomically(make_folder(out) / mark.name, b"")
    total = sum(len(dataset.split(name)) for name in dataset.split_names)
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("export", done, total)

    told = [] if problems is None else problems
    write = _WRITERS.get(to) or partial(annotations.write, form=to, problems=told)
    following = write(PlacingJob(dataset, out, link, tolerance, tell))
    if to == "labelme":
        mark.unlink()  # from now on people correct what lies here: it is not exported to again
    return following


def _check_options(to: str, tolerance: float) -> None:
    problems = []
    if to not in TARGETS:
        remedy = did_you_mean(to, TARGETS) or f"Use {', '.join(TARGETS)}."
        problems.append(Problem("bad-option", f"is {to!r}.", remedy, where="--to"))
    if not 0 <= tolerance < float("inf"):
        remedy = "Give pixels from 0 on."
        problems.append(Problem("bad-option", f"is {tolerance:g}.", remedy, where="--tolerance"))
    elif tolerance and to in TARGETS and to not in WITH_POLYGONS:
        message = f"is of polygons, and {to} gets exact masks."
        remedy = f"Leave it out, or export to {' or '.join(WITH_POLYGONS)}."
        problems.append(Problem("bad-option", message, remedy, where="--tolerance"))
    if problems:
        raise DataError(problems)


def _check_folder(dataset: Dataset, out: Path, mark: Path) -> None:
    """
    Raises:
        DataError: the folder holds something else than an earlier export, or lies in the dataset.
    """
    inside = dataset.root.resolve() in (out.resolve(), *out.resolve().parents)
    try:
        others = [] if not out.exists() or mark.is_file() else sorted(out.iterdir())
    except OSError as error:
        message = f"cannot be used ({error.strerror})."
    else:
        message = (
            "lies in the dataset." if inside else f"holds {others[0].name!r} already." if others else None
        )
    if message:
        remedy = "Choose a new or empty folder, or one exported to before."
        raise fault("bad-output", message, remedy, str(out), where="--out")
