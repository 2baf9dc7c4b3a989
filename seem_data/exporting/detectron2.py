"""Panoptic and instance files and photos as .jpg, as detectron2's ``load_coco_panoptic_json`` wants them, and
``register.py`` to import."""

from __future__ import annotations

import shlex

from seem_data.exporting.placing import PlacingJob, place_images
from seem_data.files import make_folder, write_atomically
from seem_data.problems import fault

MODULE = "register.py"


def write(job: PlacingJob) -> list[str]:
    """
    Returns:
        the commands to type next.

    Raises:
        DataError: the dataset has no split.
    """
    root = job.dataset.root.resolve()
    if not job.dataset.split_names:
        raise fault("no-split", "has no split to export.", "Build it first.", str(root))
    module = _REGISTER.replace("NAME = None", f"NAME = {root.name!a}")
    write_atomically(make_folder(job.out) / MODULE, module.encode("ascii"))
    job.write_categories()
    for name in job.dataset.split_names:
        split, folder = job.dataset.split(name), job.out / name
        place_images(job, split, folder / "images", folder / "panoptic", folder / "semantic")
        job.write_annotations(split, f"{name}/panoptic.json", f"{name}/instances.json")
    names = ", ".join(f"{root.name}_{name}" for name in job.dataset.split_names)
    names = "".join(letter if letter.isprintable() else "?" for letter in names)  # a comment is one line
    folder = shlex.quote(str(job.out.resolve()))
    return [f"PYTHONPATH={folder} python -c 'import register'   # registers {names}"]


_REGISTER = '''"""Register this dataset with detectron2: import register."""

import json
from pathlib import Path

from detectron2.data.datasets import register_coco_panoptic

NAME = None
HERE = Path(__file__).resolve().parent
CATEGORIES = json.loads((HERE / "categories.json").read_text())  # things first
THINGS = [category for category in CATEGORIES if category["isthing"]]
METADATA = {
    "thing_classes": [category["name"] for category in THINGS],
    "thing_colors": [category["color"] for category in THINGS],
    "stuff_classes": [category["name"] for category in CATEGORIES],
    "stuff_colors": [category["color"] for category in CATEGORIES],
    "thing_dataset_id_to_contiguous_id": {c["id"]: i for i, c in enumerate(THINGS)},
    "stuff_dataset_id_to_contiguous_id": {c["id"]: i for i, c in enumerate(CATEGORIES)},
}

for split in sorted(path.parent.name for path in HERE.glob("*/panoptic.json")):
    folder = HERE / split
    register_coco_panoptic(
        f"{NAME}_{split}",
        {**METADATA, "sem_seg_root": str(folder / "semantic")},
        str(folder / "images"),
        str(folder / "panoptic"),
        str(folder / "panoptic.json"),
        str(folder / "instances.json"),
    )
'''
