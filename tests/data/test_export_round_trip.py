"""What is exported as annotations is built into the same masks again, and other libraries open it."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from seem_data import build
from seem_data.cli import app
from seem_data.exporting.export import export
from seem_data.layout import Dataset, Split
from tests.data.scenes import box, write_annotation, write_colors, write_image, write_scenes
from tests.data.tabletop import EXAMPLES, dataset

TARGETS = ("yolo", "labelme", "coco")


@pytest.fixture(scope="module")
def tabletop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset(dataset(tmp_path_factory.mktemp("round-trip"), images=6))


def rebuilt(original: Dataset, to: str, folder: Path) -> dict[str, Split]:
    """What a build makes of an export, by the split's name."""
    out, again = folder / "out", folder / "again"
    export(original, to, out)
    colors = original.root / "categories.json"
    if to == "coco":
        for name in original.split_names:
            polys, images = out / "annotations" / f"panoptic_{name}2017.json", out / f"{name}2017"
            build(colors, polys, again / name, images=images, workers=1, split=f"{name}=1")
        return {name: Dataset(again / name).split(name) for name in original.split_names}
    build(colors, out, again, workers=1)
    assert Dataset(again).split_names == original.split_names
    return {name: Dataset(again).split(name) for name in original.split_names}


def short(data: bytes) -> str:
    """What stands for bytes in comparisons: pytest takes forever to show how megabytes differ."""
    return hashlib.sha256(data).hexdigest()[:16]


def instances(split: Split) -> dict[str, list[tuple[int, int, int, str]]]:
    """Category, crowd, area and mask of every segment of every photo, by the photo."""
    found = {}
    for image in split.images:
        ids = split.id_map(image)
        photo = short(split.image_path(image).read_bytes())
        found[photo] = sorted(
            (s.category_id, s.iscrowd, s.area, short((ids == s.id).tobytes())) for s in image.segments
        )
    return found


@pytest.mark.parametrize("to", TARGETS)
def test_an_exported_dataset_is_built_again_equal_split_by_split(
    tabletop: Dataset, tmp_path: Path, to: str
) -> None:
    again = rebuilt(tabletop, to, tmp_path)
    for name in tabletop.split_names:
        assert instances(again[name]) == instances(tabletop.split(name))


@pytest.mark.parametrize("to", TARGETS)
def test_the_photographs_of_the_example_come_back_equal(tmp_path: Path, to: str) -> None:
    pytest.importorskip("skimage")
    command = [sys.executable, str(EXAMPLES / "photos" / "make.py"), str(tmp_path / "photos")]
    subprocess.run(command, check=True, capture_output=True)
    colors = EXAMPLES / "photos" / "categories.json"
    build(colors, tmp_path / "photos", tmp_path / "dataset", workers=1)
    original = Dataset(tmp_path / "dataset")
    again = rebuilt(original, to, tmp_path)
    for name in original.split_names:
        assert instances(again[name]) == instances(original.split(name))


def test_the_command_that_a_labelme_export_ends_with_builds_the_dataset_again(
    tabletop: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(tabletop.root, tmp_path / "it's here")
    (command,) = export(Dataset(tmp_path / "it's here"), "labelme", tmp_path / "to correct")
    program, *arguments = shlex.split(command, comments=True)
    assert Path(program).name == "seem-data"
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    again = Dataset(tmp_path / "it's here-corrected")
    for name in tabletop.split_names:
        assert instances(again.split(name)) == instances(tabletop.split(name))


def crowded(folder: Path) -> Dataset:
    """A dataset with a crowd, a sentence that somebody wrote, and pixels that nobody labelled."""
    colors = write_colors(folder)
    for index in range(2):
        write_image(folder / "ann" / f"{index}.jpg", seed=index)
        shapes = [
            box("wall", 0, 0, 60, 10, description="a pale wall"),
            box("cup", 5, 5, 25, 30, flags={"crowd": True}),
            box("cup", 30, 12, 44, 40, description="the tall cup"),
        ]
        write_annotation(folder / "ann" / f"{index}.json", f"{index}.jpg", shapes)
    build(colors, folder / "ann", folder / "dataset", workers=1, split="train=0.5,val=0.5")
    return Dataset(folder / "dataset")


def sentences(split: Split) -> list[str]:
    return [s.raw for grounded in split.grounding() for s in grounded.sentences if s.kind == "own"]


@pytest.mark.parametrize("to", ["labelme", "coco"])
def test_crowds_come_back_and_sentences_that_somebody_wrote(tmp_path: Path, to: str) -> None:
    original = crowded(tmp_path)
    again = rebuilt(original, to, tmp_path)
    for name in ("train", "val"):
        assert [s.iscrowd for image in again[name].images for s in image.segments].count(1) == 1
        assert instances(again[name]) == instances(original.split(name))
        assert sorted(sentences(again[name])) == ["a pale wall", "the tall cup"]
        assert sorted(sentences(original.split(name))) == ["a pale wall", "the tall cup"]
    if to == "coco":
        rows = json.loads((tmp_path / "out" / "annotations" / "instances_train2017.json").read_text())
        said = [row["sentences"] for row in rows["annotations"] if "sentences" in row]
        assert said == [[{"raw": "the tall cup"}]]


def test_crowds_that_a_format_cannot_tell_are_left_out_with_a_word(tmp_path: Path) -> None:
    problems = []
    export(crowded(tmp_path), "yolo", tmp_path / "out", problems=problems)
    assert [problem.code for problem in problems] == ["crowds"]
    assert "2 crowd(s)" in problems[0].message
    assert len((tmp_path / "out" / "labels" / "train" / "0.txt").read_text().splitlines()) <= 2


def test_a_yolo_export_says_what_ultralytics_will_miss(tmp_path: Path) -> None:
    colors = write_colors(tmp_path)
    build(colors, write_scenes(tmp_path / "ann", 2), tmp_path / "dataset", workers=1, split="train=1")
    problems = []
    export(Dataset(tmp_path / "dataset"), "yolo", tmp_path / "out", problems=problems)
    assert ["val" in problem.message for problem in problems] == [True]


def test_a_tolerance_saves_points(tabletop: Dataset, tmp_path: Path) -> None:
    export(tabletop, "yolo", tmp_path / "exact")
    export(tabletop, "yolo", tmp_path / "near", tolerance=1.0)
    sizes = [
        sum(path.stat().st_size for path in (tmp_path / name / "labels").rglob("*.txt"))
        for name in ("exact", "near")
    ]
    assert sizes[1] < sizes[0] / 2


# Other people's loaders. ---------------------------------------------------------------------------------


def masks_of_things(split: Split) -> dict[str, list[str]]:
    """Of each photo, by its name."""
    found = {}
    for image in split.images:
        ids = split.id_map(image)
        wanted = [s for s in image.segments if split.categories.by_id[s.category_id].isthing]
        found[image.file_name] = sorted(short((ids == s.id).tobytes()) for s in wanted)
    return found


def as_bytes(masks: NDArray[np.bool_] | None) -> list[str]:
    return sorted(short(mask.astype(bool).tobytes()) for mask in ([] if masks is None else masks))


@pytest.mark.slow
def test_supervision_opens_coco_with_equal_masks(tabletop: Dataset, tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    export(tabletop, "coco", tmp_path)
    opened = supervision.DetectionDataset.from_coco(
        str(tmp_path / "train2017"),
        str(tmp_path / "annotations" / "instances_train2017.json"),
        force_masks=True,
    )
    things = [category.name for category in tabletop.categories if category.isthing]
    assert opened.classes == things
    wanted = masks_of_things(tabletop.split("train"))
    assert {Path(path).name: as_bytes(found.mask) for path, _, found in opened} == wanted


@pytest.mark.slow
def test_supervision_opens_yolo_with_nearly_equal_masks(tabletop: Dataset, tmp_path: Path) -> None:
    """It fills polygons by OpenCV's rule, which takes the pixels under the outline too."""
    supervision = pytest.importorskip("supervision")
    export(tabletop, "yolo", tmp_path)
    opened = supervision.DetectionDataset.from_yolo(
        str(tmp_path / "images" / "train"),
        str(tmp_path / "labels" / "train"),
        str(tmp_path / "data.yaml"),
        True,
    )
    assert opened.classes == tabletop.categories.names
    split = tabletop.split("train")
    found = {Path(path).name: detections for path, _, detections in opened}
    for image in split.images:
        ids = split.id_map(image)
        assert len(found[image.file_name]) == len(image.segments)
        for segment, mask, index in zip(
            image.segments, found[image.file_name].mask, found[image.file_name].class_id, strict=True
        ):
            assert split.categories[index].id == segment.category_id
            wanted = ids == segment.id
            assert not (wanted & ~mask).any()
            grown = cv2.dilate(wanted.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            assert (mask & ~grown).sum() <= 0.1 * wanted.sum(), "but for bridges"
