"""Built images ─▶ a dataset: files move from ``.build/staged`` into their splits, rows into the JSON files.

Every step may be cut off and repeated. ``dataset.json`` goes first and comes back last: a dataset that has
one is complete.

Paths of images' files are text here: three for every image, and `pathlib` would double what they cost.
"""
# ruff: noqa: PTH105, PTH108, PTH110

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from seem_data import layout
from seem_data.building.job import Job
from seem_data.building.journal import BuiltImage, Journal, staged_name
from seem_data.categories import Categories
from seem_data.files import make_folder, writing
from seem_data.layout import Counts, ImageRecord, SplitWriter


def splits_on_disk(out: Path) -> list[str]:
    """The splits of which at least the images' folder is there, whether complete or not."""
    return sorted(path.parent.name for path in out.glob(f"*/{layout.IMAGES}") if path.is_dir())


def assemble(
    out: Path,
    journal: Journal,
    placed: Sequence[tuple[Job, str]],
    categories: Categories,
    name: str,
    options: Mapping[str, object],
) -> dict[str, Counts]:
    """Make the dataset in `out` hold exactly these images.

    Args:
        placed: all images and their splits, in the order of their ids.
        name, options: as dataset.json tells them.

    Returns:
        what each split holds.

    Raises:
        OutputError: something cannot be written; the same call can be repeated.
    """
    earlier = splits_on_disk(out)
    with writing(out / layout.DATASET_JSON):
        (out / layout.DATASET_JSON).unlink(missing_ok=True)
    splits = layout.in_order({split for _, split in placed})
    for split in splits:
        for folder in layout.FOLDERS:
            make_folder(out / split / folder)
    layout.write_categories(out, categories)

    used: set[str] = set()
    root, staged = str(out), str(journal.staged)
    with ExitStack() as stack:
        writers = {split: stack.enter_context(SplitWriter(out / split, categories)) for split in splits}
        for job, split in placed:
            built = journal.read(job.main.name)
            _place(root, staged, built, split, earlier)
            used |= {f"{layout.IMAGES}/{built.file_name}", f"{layout.PANOPTIC}/{built.panoptic_name}"}
            record = ImageRecord(
                job.position + 1,
                built.file_name,
                built.width,
                built.height,
                built.panoptic_name,
                tuple(built.segments),
            )
            writers[split].add(record, built.instances, built.grounding, built.sentence_count, built.sha256)
    counts = {split: writers[split].counts for split in splits}
    _remove_files(out, earlier, journal.mentioned, used)
    for split in set(earlier) - set(splits):
        _remove_split(out / split)
    layout.write_info(out, name, options, counts)
    return counts


def _place(out: str, staged: str, built: BuiltImage, split: str, earlier: Sequence[str]) -> None:
    """Move the files of an image to where they belong: from the staging folder, or from another split."""
    names = (built.file_name, built.panoptic_name, built.panoptic_name)
    others = [other for other in earlier if other != split]
    for folder, name in zip(layout.FOLDERS, names, strict=True):
        target = f"{out}/{split}/{folder}/{name}"
        fresh = f"{staged}/{staged_name(built.key, folder)}"
        elsewhere = [f"{out}/{other}/{folder}/{name}" for other in others]
        with writing(target):
            if elsewhere and os.path.exists(fresh):
                # First the old ones go: found later, they could be taken for the new one.
                for path in elsewhere:
                    with suppress(FileNotFoundError):
                        os.unlink(path)
            try:
                os.replace(fresh, target)
            except FileNotFoundError:
                _fetch(target, elsewhere)


def _fetch(target: str, elsewhere: Iterable[str]) -> None:
    """A file of an unchanged image: it is there already, or in the split of an earlier build.

    Raises:
        FileNotFoundError: it has gone since it was looked for.
    """
    if os.path.exists(target):
        return
    for path in elsewhere:
        with suppress(FileNotFoundError):
            os.replace(path, target)
            return
    raise FileNotFoundError(2, "it has disappeared during the build", target)


def _remove_files(
    out: Path, splits: Iterable[str], mentioned: Iterable[tuple[str, str]], used: set[str]
) -> None:
    """Delete what earlier builds made and this one does not. Files of unknown origin stay."""
    for split in splits:
        for file_name, panoptic_name in mentioned:
            names = (file_name, panoptic_name, panoptic_name)
            for folder, name in zip(layout.FOLDERS, names, strict=True):
                kind = layout.IMAGES if folder == layout.IMAGES else layout.PANOPTIC
                if f"{kind}/{name}" not in used:
                    path = out / split / folder / name
                    with writing(path):
                        path.unlink(missing_ok=True)


def _remove_split(root: Path) -> None:
    """Delete the JSON files of a split that no longer is, and its folders if nothing else is in them."""
    with writing(root):
        for name in layout.ROW_FILES:
            (root / name).unlink(missing_ok=True)
    for folder in (*(root / name for name in layout.FOLDERS), root):
        with suppress(OSError):
            folder.rmdir()
