"""What the original SEEM's loaders open below ``$DATASET``, and a launcher for its code.

Names are those of its register_coco_panoptic_annos_semseg.py,
register_coco_lvis_panoptic_annos_caption_grounding.py and register_refcoco_dataset.py: COCO's own, photos as
.jpg, files for captions, LVIS and caption similarity that exist and hold nothing. ``run_seem.py`` puts our
categories in the place of COCO's before the original's code is imported, so that nothing there needs an edit.
"""

from __future__ import annotations

import json
import pickle
import shlex
import sys

import msgspec

from seem_data.exporting.placing import (
    PlacingJob,
    image_rows,
    jpg_name,
    panoptic_rows,
    place_images,
    raw_rows,
)
from seem_data.files import make_folder, write_atomically
from seem_data.layout import GROUNDING_JSON, Split
from seem_data.problems import fault

LAUNCHER = "run_seem.py"
#: The original knows two splits by name.
_SPLITS = {"train": "train2017", "val": "val2017"}
_PANOPTIC_VAL, _PHRASES_VAL = "coco_2017_val_panoptic_with_sem_seg", "refcocog_val_umd"
_NOTHING: dict[str, object] = {"images": [], "annotations": []}


def write(job: PlacingJob) -> list[str]:
    """
    Returns:
        the commands to type next.

    Raises:
        DataError: the dataset has neither train nor val.
    """
    names = [name for name in job.dataset.split_names if name in _SPLITS]
    if not names:
        message = f"has no train or val split, only {', '.join(job.dataset.split_names) or 'none'}."
        remedy = "The original SEEM knows these two names only: build with --split train=0.8,val=0.2."
        raise fault("no-split", message, remedy, str(job.dataset.root))
    write_atomically(make_folder(job.out) / LAUNCHER, _RUN_SEEM.encode())
    job.write_categories()
    tests = []
    for name in names:
        split, year = job.dataset.split(name), _SPLITS[name]
        coco = job.out / "coco"
        place_images(job, split, coco / year, coco / f"panoptic_{year}", coco / f"panoptic_semseg_{year}")
        folder = "coco/annotations"
        job.write_annotations(split, f"{folder}/panoptic_{year}.json", f"{folder}/instances_{year}.json")
        job.write_json(f"{folder}/captions_{year}.json", _NOTHING)
        if name == "train":
            _write_training(job, split)
        else:
            tests = [_PANOPTIC_VAL, *([_PHRASES_VAL] if _write_phrases(job, split) else [])]
    similarity = job.out / "coco" / "annotations" / "caption_class_similarity.pth"
    write_atomically(similarity, _empty_torch_dict())
    job.write_json("lvis/coco_train2017_filtrefgumdval_lvis.json", {**_NOTHING, "categories": []})
    return _commands(job, "train" if "train" in names else "evaluate", tests)


def _commands(job: PlacingJob, action: str, tests: list[str]) -> list[str]:
    launcher = shlex.quote(str(job.out.resolve() / LAUNCHER))
    overrides = shlex.quote(json.dumps({"DATASETS.TEST": tests}))
    return [
        "pip install git+https://github.com/MaureenZOU/detectron2-xyz.git"
        "   # the original needs this one, not current detectron2",
        "cd Segment-Everything-Everywhere-All-At-Once",
        f"python {launcher} entry.py {action} --conf_files configs/seem/focall_unicl_lang_v1.yaml "
        f"--config_overrides {overrides} "
        f"--overrides MODEL.ENCODER.NUM_CLASSES {len(job.categories)} MODEL.DECODER.LVIS.ENABLED False",
    ]


def _write_training(job: PlacingJob, split: Split) -> None:
    """The same rows under each name that a registration of training data gives them."""
    panoptic = panoptic_rows(split, job.categories, jpg_name)
    grounding: dict[str, object] = _NOTHING
    if split.has_grounding:
        rows = raw_rows(split, GROUNDING_JSON)
        grounding = {
            "images": image_rows(split.images, jpg_name),
            "annotations": rows,
            "categories": job.categories.as_coco(),
        }
    folder = "coco/annotations"
    for stem in ("filtrefgumdval", "filtrefgumdval_filtvlp"):
        job.write_json(f"{folder}/panoptic_train2017_{stem}.json", panoptic)
        job.write_json(f"{folder}/captions_train2017_{stem}.json", _NOTHING)
    for stem in ("", "_filtrefgumd", "_filtrefgumdval_filtvlp"):
        job.write_json(f"{folder}/grounding_train2017{stem}.json", grounding)


class _Grounded(msgspec.Struct):
    image_id: int
    iscrowd: int = 0


def _write_phrases(job: PlacingJob, split: Split) -> bool:
    """RefCOCOg's validation file: the images that have phrases, which the original looks for in train2017.

    Returns: whether there are any.
    """
    if not split.has_grounding:
        return False
    rows = raw_rows(split, GROUNDING_JSON)
    heads = [msgspec.json.decode(row, type=_Grounded) for row in rows]
    asked = {head.image_id for head in heads if not head.iscrowd}
    images = [image for image in split.images if image.id in asked]
    if not images:
        return False
    content = {
        "images": image_rows(images, lambda image: f"../{_SPLITS['val']}/{jpg_name(image)}"),
        "annotations": [row for row, head in zip(rows, heads, strict=True) if not head.iscrowd],
        "categories": job.categories.as_coco(),
    }
    job.write_json("coco/annotations/refcocog_umd_val.json", content)
    return True


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
