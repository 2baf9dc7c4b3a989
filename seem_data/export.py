"""A dataset in the folders and file names that other code insists on, with a module that registers it.

``seem``: what the original SEEM's loaders open below ``$DATASET`` (register_coco_panoptic_annos_semseg.py,
register_coco_lvis_panoptic_annos_caption_grounding.py): COCO's own names, photos as .jpg, files for captions,
LVIS and caption similarity that exist and hold nothing. ``run_seem.py`` puts our categories in the place of
COCO's before the original's code is imported, so that nothing there needs an edit.

``detectron2``: the panoptic and instance files with photos as .jpg (``load_coco_panoptic_json`` appends
that extension itself), and ``register.py`` to import.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any, Literal

from seem_data.files import link_or_copy, make_folder, write_atomically
from seem_data.layout import CATEGORIES_JSON, GROUNDING_JSON, INSTANCES_JSON, Dataset, ImageRecord, Split
from seem_data.problems import DataError, Problem

Target = Literal["seem", "detectron2"]
TARGETS: tuple[Target, ...] = ("seem", "detectron2")

#: The original knows two splits by name.
_SEEM_SPLITS = {"train": "train2017", "val": "val2017"}
#: The modules that are written first, by which an earlier export is known.
_MARKS = {"seem": "run_seem.py", "detectron2": "register.py"}
_JPEG_QUALITY = 95


def export(dataset: Dataset, to: Target, out: Path) -> list[str]:
    """Write the dataset for another code base.

    Photos that are JPEG already, and the PNGs, are linked (copied across file systems); other photos are
    re-encoded as JPEG of quality 95. Files are written one by one, each whole; repeat after an interruption.

    Returns:
        The commands to type next.

    Raises:
        DataError: the dataset has no split that the target knows, the folder holds something else, or a file
            is missing or unwritable.
    """
    _check_folder(dataset, out, _MARKS[to])
    return _to_seem(dataset, out) if to == "seem" else _to_detectron2(dataset, out)


def _check_folder(dataset: Dataset, out: Path, mark: str) -> None:
    """
    Raises:
        DataError: the folder holds something else than an earlier export, or lies in the dataset.
    """
    inside = dataset.root.resolve() in (out.resolve(), *out.resolve().parents)
    try:
        others = [] if not out.exists() or (out / mark).is_file() else sorted(out.iterdir())
    except OSError as error:
        message = f"cannot be used ({error.strerror})."
    else:
        message = (
            "lies in the dataset." if inside else f"holds {others[0].name!r} already." if others else None
        )
    if message:
        remedy = "Choose a new or empty folder, or one exported to before."
        raise DataError(Problem("bad-output", message, remedy, str(out), where="--out"))


def _to_seem(dataset: Dataset, out: Path) -> list[str]:
    splits = [name for name in dataset.split_names if name in _SEEM_SPLITS]
    if not splits:
        raise DataError(
            Problem(
                "no-split",
                f"has no train or val split, only {', '.join(dataset.split_names) or 'none'}.",
                "The original SEEM knows these two names only: build with --split train=0.8,val=0.2.",
                str(dataset.root),
            )
        )
    write_atomically(make_folder(out) / _MARKS["seem"], _RUN_SEEM.encode())
    coco = out / "coco"
    annotations = make_folder(coco / "annotations")
    nothing: dict[str, Any] = {"images": [], "annotations": []}
    for name in splits:
        split, year = dataset.split(name), _SEEM_SPLITS[name]
        _place(split, coco / year, coco / f"panoptic_{year}", coco / f"panoptic_semseg_{year}")
        panoptic = _panoptic_json(split)
        _write_json(annotations / f"panoptic_{year}.json", panoptic)
        _write_json(annotations / f"instances_{year}.json", _renamed_images(split, INSTANCES_JSON))
        _write_json(annotations / f"captions_{year}.json", nothing)
        if name == "train":
            grounding = _renamed_images(split, GROUNDING_JSON) if split.has_grounding else nothing
            for stem in ("filtrefgumdval", "filtrefgumdval_filtvlp"):
                _write_json(annotations / f"panoptic_{year}_{stem}.json", panoptic)
                _write_json(annotations / f"captions_{year}_{stem}.json", nothing)
            _write_json(annotations / f"grounding_{year}_filtrefgumd.json", grounding)
            _write_json(annotations / f"grounding_{year}_filtrefgumdval_filtvlp.json", grounding)
    write_atomically(annotations / "caption_class_similarity.pth", _empty_torch_dict())
    make_folder(out / "lvis")
    _write_json(out / "lvis" / "coco_train2017_filtrefgumdval_lvis.json", {**nothing, "categories": []})
    _write_json(out / CATEGORIES_JSON, dataset.categories.as_coco())
    count, launcher = len(dataset.categories), out.resolve() / "run_seem.py"
    return [
        "cd Segment-Everything-Everywhere-All-At-Once",
        f"python {launcher} entry.py train --conf_files configs/seem/focall_unicl_lang_v1.yaml "
        f"--overrides MODEL.ENCODER.NUM_CLASSES {count} MODEL.DECODER.LVIS.ENABLED False",
    ]


def _to_detectron2(dataset: Dataset, out: Path) -> list[str]:
    if not dataset.split_names:
        raise DataError(Problem("no-split", "has no split to export.", "Build it first.", str(dataset.root)))
    module = _REGISTER.replace("DATASET", dataset.root.resolve().name)
    write_atomically(make_folder(out) / _MARKS["detectron2"], module.encode())
    for name in dataset.split_names:
        split, folder = dataset.split(name), make_folder(out / name)
        _place(split, folder / "images", folder / "panoptic", folder / "semantic")
        _write_json(folder / "panoptic.json", _panoptic_json(split))
        _write_json(folder / "instances.json", _renamed_images(split, INSTANCES_JSON))
    _write_json(out / CATEGORIES_JSON, dataset.categories.as_coco())
    names = ", ".join(f"{dataset.root.resolve().name}_{name}" for name in dataset.split_names)
    return [f"PYTHONPATH={out.resolve()} python -c 'import register'   # registers {names}"]


def _place(split: Split, images: Path, panoptic: Path, semantic: Path) -> None:
    """The photos as .jpg and both PNGs, under one stem an image."""
    for folder in (images, panoptic, semantic):
        make_folder(folder)
    for image in split.images:
        _place_photo(split.image_path(image), images / _jpg_name(image))
        for source, folder in (
            (split.panoptic_path(image), panoptic),
            (split.semantic_path(image), semantic),
        ):
            _link(source, folder / image.panoptic_name)


def _place_photo(source: Path, target: Path) -> None:
    if source.suffix.lower() in (".jpg", ".jpeg"):
        _link(source, target)
        return
    import io

    from PIL import Image

    encoded = io.BytesIO()
    try:
        with Image.open(source) as photo:
            photo.convert("RGB").save(encoded, "JPEG", quality=_JPEG_QUALITY)
    except OSError as error:
        raise DataError(_unreadable(source, error)) from None
    write_atomically(target, encoded.getvalue())


def _link(source: Path, target: Path) -> None:
    try:
        link_or_copy(source, target)
    except OSError as error:
        raise DataError(_unreadable(source, error)) from None


def _unreadable(path: Path, error: OSError) -> Problem:
    remedy = "Run seem-data validate on the dataset first."
    return Problem("unreadable", f"cannot be read ({error.strerror or error}).", remedy, str(path))


def _jpg_name(image: ImageRecord) -> str:
    """Both code bases derive a photo's name from its panoptic PNG's."""
    return Path(image.panoptic_name).with_suffix(".jpg").name


def _image_rows(split: Split) -> list[dict[str, Any]]:
    return [
        {"id": image.id, "file_name": _jpg_name(image), "width": image.width, "height": image.height}
        for image in split.images
    ]


def _panoptic_json(split: Split) -> dict[str, Any]:
    import msgspec

    return {
        "images": _image_rows(split),
        "annotations": [
            {
                "image_id": image.id,
                "file_name": image.panoptic_name,
                "segments_info": [msgspec.to_builtins(segment) for segment in image.segments],
            }
            for image in split.images
        ],
        "categories": split.categories.as_coco(),
    }


def _renamed_images(split: Split, name: str) -> dict[str, Any]:
    """One of the split's own JSON files, with the photos' new names."""
    from seem_data.layout import read_json

    content: dict[str, Any] = read_json(split.root / name, dict[str, Any])
    return {**content, "images": _image_rows(split)}


def _write_json(path: Path, content: Any) -> None:
    write_atomically(path, json.dumps(content, separators=(",", ":")).encode())


def _empty_torch_dict() -> bytes:
    """An empty dict as ``torch.load`` reads it (the format before zip files), written without torch.

    The original opens caption_class_similarity.pth and never uses its content.
    """
    magic, protocol = 0x1950A86A20F9469CFC6C, 1001
    system = {"protocol_version": protocol, "little_endian": sys.byteorder == "little", "type_sizes": {}}
    return b"".join(pickle.dumps(part, protocol=2) for part in (magic, protocol, system, {}, []))


_RUN_SEEM = '''"""Start the original SEEM on this dataset: run_seem.py entry.py [its own arguments].

Run it in the folder of the original's code. It points DATASET here and puts this dataset's categories in
the place of COCO's before any of that code is imported.
"""

import json
import os
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CATEGORIES = json.loads((HERE / "categories.json").read_text())


def use_categories():
    os.environ["DATASET"] = os.environ["DETECTRON2_DATASETS"] = str(HERE)
    sys.path.insert(0, os.getcwd())
    from detectron2.data.datasets import builtin_meta

    builtin_meta.COCO_CATEGORIES[:] = CATEGORIES
    from utils import constants

    names = [category["name"] for category in CATEGORIES]
    constants.COCO_PANOPTIC_CLASSES[:] = names


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    use_categories()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
'''

_REGISTER = '''"""Register this dataset with detectron2: import register."""

import json
from pathlib import Path

from detectron2.data.datasets import register_coco_panoptic

HERE = Path(__file__).resolve().parent
CATEGORIES = json.loads((HERE / "categories.json").read_text())
METADATA = {
    "thing_classes": [category["name"] for category in CATEGORIES],
    "thing_colors": [category["color"] for category in CATEGORIES],
    "stuff_classes": [category["name"] for category in CATEGORIES],
    "stuff_colors": [category["color"] for category in CATEGORIES],
    "thing_dataset_id_to_contiguous_id": {c["id"]: i for i, c in enumerate(CATEGORIES) if c["isthing"]},
    "stuff_dataset_id_to_contiguous_id": {c["id"]: i for i, c in enumerate(CATEGORIES)},
}

for split in sorted(path.parent.name for path in HERE.glob("*/panoptic.json")):
    folder = HERE / split
    register_coco_panoptic(
        f"DATASET_{split}",
        {**METADATA, "sem_seg_root": str(folder / "semantic")},
        str(folder / "images"),
        str(folder / "panoptic"),
        str(folder / "panoptic.json"),
        str(folder / "instances.json"),
    )
'''
