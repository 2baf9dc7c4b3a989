"""Exports hold what the other code base opens, under the names that it derives itself."""

from __future__ import annotations

import json
import runpy
import sys
import types
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from PIL import Image

from seem_data import build
from seem_data.export import export
from seem_data.layout import Dataset
from seem_data.problems import DataError
from tests.data.tabletop import COLORS, dataset, render


@pytest.fixture(scope="module")
def tabletop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset(dataset(tmp_path_factory.mktemp("export"), images=8))


def load_as_the_original_does(root: Path, panoptic: str, year: str) -> list[dict[str, Any]]:
    """What load_coco_panoptic_json of SEEM and detectron2 make of it: the photo's name from the PNG's."""
    rows = json.loads((root / "coco" / "annotations" / panoptic).read_text())["annotations"]
    return [
        {
            "image_id": int(row["image_id"]),
            "file_name": root / "coco" / year / (Path(row["file_name"]).stem + ".jpg"),
            "pan_seg_file_name": root / "coco" / f"panoptic_{year}" / row["file_name"],
            "sem_seg_file_name": root / "coco" / f"panoptic_semseg_{year}" / row["file_name"],
            "segments_info": row["segments_info"],
        }
        for row in rows
    ]


def test_seem_finds_every_file_it_opens(tabletop: Dataset, tmp_path: Path) -> None:
    export(tabletop, "seem", tmp_path)
    for panoptic, year, split in (
        ("panoptic_train2017_filtrefgumdval.json", "train2017", "train"),
        ("panoptic_val2017.json", "val2017", "val"),
    ):
        records = load_as_the_original_does(tmp_path, panoptic, year)
        images = tabletop.split(split).images
        assert [record["image_id"] for record in records] == [image.id for image in images]
        for record, image in zip(records, images, strict=True):
            assert cv2.imread(str(record["file_name"])).shape == (image.height, image.width, 3)
            ids = cv2.imread(str(record["pan_seg_file_name"]))[..., ::-1].astype(int) @ [1, 256, 256**2]
            assert {segment["id"] for segment in record["segments_info"]} == set(np.unique(ids)) - {0}
            assert record["sem_seg_file_name"].is_file()
    annotations = tmp_path / "coco" / "annotations"
    grounding = json.loads((annotations / "grounding_train2017_filtrefgumd.json").read_text())
    assert grounding["annotations"][0]["sentences"][0]["raw"]
    for stub in ("captions_train2017_filtrefgumdval.json", "captions_val2017.json", "instances_val2017.json"):
        assert "images" in json.loads((annotations / stub).read_text())
    assert (tmp_path / "lvis" / "coco_train2017_filtrefgumdval_lvis.json").is_file()


@pytest.mark.parametrize("target", ["seem", "detectron2"])
def test_the_next_commands_work_from_any_folder(
    tabletop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Literal["seem", "detectron2"]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "elsewhere") in export(tabletop, target, Path("elsewhere"))[-1]


def test_the_similarity_file_is_an_empty_dict_to_torch(tabletop: Dataset, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    export(tabletop, "seem", tmp_path)
    stub = tmp_path / "coco" / "annotations" / "caption_class_similarity.pth"
    assert torch.load(stub, weights_only=True) == {}


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> types.ModuleType:
    """An empty module and its parents, for code that is not installed here."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = types.ModuleType(".".join(parts[:end]))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        if end > 1:
            setattr(sys.modules[".".join(parts[: end - 1])], parts[end - 1], module)
    for key, value in content.items():
        setattr(sys.modules[name], key, value)
    return sys.modules[name]


def test_run_seem_replaces_cocos_categories_before_the_original_starts(
    tabletop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tabletop, "seem", tmp_path)
    meta = stand_in(monkeypatch, "detectron2.data.datasets.builtin_meta", COCO_CATEGORIES=[{"name": "old"}])
    constants = stand_in(monkeypatch, "utils.constants", COCO_PANOPTIC_CLASSES=["old"])
    entry = tmp_path / "entry.py"
    entry.write_text(
        "import os, sys, pathlib\n"
        "pathlib.Path(sys.argv[0]).with_suffix('.txt').write_text(os.environ['DATASET'] + ' ' + sys.argv[1])"
    )
    monkeypatch.setattr(sys, "argv", ["run_seem.py", str(entry), "train"])
    monkeypatch.setenv("DATASET", "elsewhere")
    monkeypatch.setenv("DETECTRON2_DATASETS", "elsewhere")
    runpy.run_path(str(tmp_path / "run_seem.py"), run_name="__main__")
    assert [category["name"] for category in meta.COCO_CATEGORIES] == tabletop.categories.names
    assert tabletop.categories.names == constants.COCO_PANOPTIC_CLASSES
    assert entry.with_suffix(".txt").read_text() == f"{tmp_path} train"


def test_detectron2_gets_one_registration_a_split(
    tabletop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tabletop, "detectron2", tmp_path)
    calls: list[tuple[Any, ...]] = []
    stand_in(monkeypatch, "detectron2.data.datasets", register_coco_panoptic=lambda *args: calls.append(args))
    runpy.run_path(str(tmp_path / "register.py"))
    assert [name for name, *_ in calls] == ["dataset_train", "dataset_val"]
    _, metadata, images, panoptic, panoptic_json, instances_json = calls[0]
    things = [category for category in tabletop.categories if category.isthing]
    assert metadata["thing_dataset_id_to_contiguous_id"] == {
        category.id: tabletop.categories.index_of[category.id] for category in things
    }
    rows = json.loads(Path(panoptic_json).read_text())["annotations"]
    assert all((Path(images) / Path(row["file_name"]).with_suffix(".jpg")).is_file() for row in rows)
    assert all((Path(panoptic) / row["file_name"]).is_file() for row in rows)
    assert json.loads(Path(instances_json).read_text())["annotations"]


def test_photos_that_are_not_jpeg_are_encoded_as_jpeg(tmp_path: Path) -> None:
    scenes = render(tmp_path / "scenes", 2)
    for photo in scenes.glob("*.jpg"):
        Image.open(photo).save(photo.with_suffix(".png"))
        photo.unlink()
        annotation = photo.with_suffix(".json")
        annotation.write_text(annotation.read_text().replace(photo.name, photo.with_suffix(".png").name))
    build(colors=COLORS, polys=scenes, out=tmp_path / "dataset", workers=1, split="train=1")
    export(Dataset(tmp_path / "dataset"), "seem", tmp_path / "out")
    photos = sorted((tmp_path / "out" / "coco" / "train2017").iterdir())
    assert [Image.open(photo).format for photo in photos] == ["JPEG", "JPEG"]


def test_a_dataset_without_train_and_val_is_refused(tmp_path: Path) -> None:
    build(colors=COLORS, polys=render(tmp_path / "scenes", 2), out=tmp_path / "d", workers=1, split="test=1")
    with pytest.raises(DataError, match="has no train or val split, only test"):
        export(Dataset(tmp_path / "d"), "seem", tmp_path / "out")


@pytest.mark.parametrize("to", ["seem", "detectron2"])
def test_an_export_gets_a_folder_of_its_own(tabletop: Dataset, tmp_path: Path, to: Literal["seem"]) -> None:
    before = {path: path.stat().st_mtime_ns for path in tabletop.root.rglob("*")}
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "holiday.jpg").touch()
    for out in (tabletop.root, tabletop.root / "export", tabletop.root.parent, tmp_path):
        with pytest.raises(DataError, match=r"--out: .*a new or empty folder"):
            export(tabletop, to, out)
    assert before == {path: path.stat().st_mtime_ns for path in tabletop.root.rglob("*")}
    assert [path.name for path in tmp_path.rglob("*.*")] == ["holiday.jpg"]
    assert export(tabletop, to, tmp_path / "new") == export(tabletop, to, tmp_path / "new")
