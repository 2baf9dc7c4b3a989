"""Exports hold what the other code base opens, under the names that it derives itself."""

from __future__ import annotations

import json
import runpy
import shlex
import shutil
import sys
import types
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from PIL import Image

from seem_data import build
from seem_data.exporting.export import TARGETS, export
from seem_data.layout import Dataset
from seem_data.problems import DataError
from tests.data.drawing import decode
from tests.data.scenes import CATEGORIES, write_colors, write_scenes
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
    assert metadata["thing_classes"] == [category.name for category in things]
    assert metadata["thing_dataset_id_to_contiguous_id"] == {c.id: i for i, c in enumerate(things)}
    assert sorted(metadata["stuff_dataset_id_to_contiguous_id"].values()) == [
        *range(len(tabletop.categories))
    ]
    rows = json.loads(Path(panoptic_json).read_text())["annotations"]
    assert all((Path(images) / Path(row["file_name"]).with_suffix(".jpg")).is_file() for row in rows)
    assert all((Path(panoptic) / row["file_name"]).is_file() for row in rows)
    assert json.loads(Path(instances_json).read_text())["annotations"]


def test_photos_of_any_kind_are_placed_as_they_are_under_the_name_that_is_asked_for(tmp_path: Path) -> None:
    scenes = render(tmp_path / "scenes", 2)
    for photo in scenes.glob("*.jpg"):
        Image.open(photo).save(photo.with_suffix(".png"))
        photo.unlink()
        annotation = photo.with_suffix(".json")
        annotation.write_text(annotation.read_text().replace(photo.name, photo.with_suffix(".png").name))
    build(colors=COLORS, polys=scenes, out=tmp_path / "dataset", workers=1, split="train=1")
    data = Dataset(tmp_path / "dataset")
    export(data, "seem", tmp_path / "out")
    for image in data.split("train").images:
        placed = tmp_path / "out" / "coco" / "train2017" / Path(image.panoptic_name).with_suffix(".jpg").name
        assert placed.read_bytes() == data.split("train").image_path(image).read_bytes()
        assert Image.open(placed).format == "PNG", "Pillow and OpenCV go by the content"
        assert cv2.imread(str(placed)).shape == (image.height, image.width, 3)


#: A folder's name that ends strings and begins expressions, in Python and in a shell.
ODD_NAME = 'it\'s {a} "b"'


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset whose stuff stands before and among the things, and a thing's id below an earlier one's."""
    folder = tmp_path_factory.mktemp("mixed")
    ids = {"wall": 2, "cup": 31, "table": 4, "plate": 7}
    colors = write_colors(folder, [{"name": n, "id": i, **CATEGORIES[n]} for n, i in ids.items()])
    build(
        colors,
        write_scenes(folder / "ann", 6),
        folder / 'it\'s {a} "b"',
        workers=1,
        split="train=0.5,val=0.5",
    )
    return Dataset(folder / 'it\'s {a} "b"')


TARGETS_WITH_SEMANTIC = [("seem", "coco/panoptic_semseg_{}2017"), ("detectron2", "{}/semantic")]
MIXED_ORDER = ["plate", "cup", "wall", "table"]


@pytest.mark.parametrize(
    ("to", "semantic"), [("seem", "coco/panoptic_semseg_{}2017"), ("detectron2", "{}/semantic")]
)
def test_things_are_numbered_first_and_semantic_pngs_with_them(
    mixed: Dataset, tmp_path: Path, to: str, semantic: str
) -> None:
    export(mixed, to, tmp_path)
    exported = json.loads((tmp_path / "categories.json").read_text())
    assert [category["name"] for category in exported] == MIXED_ORDER
    index = {category["id"]: number for number, category in enumerate(exported)}
    for name in ("train", "val"):
        split = mixed.split(name)
        for image in split.images:
            path = tmp_path / semantic.format(name) / image.panoptic_name
            pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            ids = split.id_map(image)
            expected = np.full(ids.shape, 255)
            for segment in image.segments:
                expected[ids == segment.id] = index[segment.category_id]
            assert np.array_equal(pixels, expected)


@pytest.mark.parametrize(
    ("to", "instances"),
    [("seem", "coco/annotations/instances_val2017.json"), ("detectron2", "val/instances.json")],
)
def test_instances_files_list_things_only_in_the_order_of_their_ids(
    mixed: Dataset, tmp_path: Path, to: str, instances: str
) -> None:
    export(mixed, to, tmp_path)
    content = json.loads((tmp_path / instances).read_text())
    assert [category["name"] for category in content["categories"]] == ["plate", "cup"]
    assert [category["id"] for category in content["categories"]] == [7, 31], "as pycocotools sorts them"
    assert {row["category_id"] for row in content["annotations"]} == {7, 31}


def test_every_registration_that_the_printed_command_names_finds_its_files(
    tabletop: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "my export's"
    *_, need, folder, command = export(tabletop, "seem", out)
    assert "detectron2-xyz" in need and folder.startswith("cd ")
    words = shlex.split(command)
    assert words[1] == str(out / "run_seem.py") and Path(words[1]).is_file()
    assert words.index("--config_overrides") + 2 == words.index("--overrides"), (
        "the latter takes all that follows"
    )
    tests = json.loads(words[words.index("--config_overrides") + 1])["DATASETS.TEST"]
    assert tests == ["coco_2017_val_panoptic_with_sem_seg", "refcocog_val_umd"]
    assert words[words.index("MODEL.ENCODER.NUM_CLASSES") + 1] == str(len(tabletop.categories))
    assert load_as_the_original_does(out, "panoptic_val2017.json", "val2017")
    assert (out / "coco" / "annotations" / "grounding_train2017.json").read_bytes() == (
        out / "coco" / "annotations" / "grounding_train2017_filtrefgumd.json"
    ).read_bytes()


def test_phrases_of_val_are_found_from_the_training_photos_folder_and_mean_their_segments(
    tabletop: Dataset, tmp_path: Path
) -> None:
    export(tabletop, "seem", tmp_path)
    content = json.loads((tmp_path / "coco" / "annotations" / "refcocog_umd_val.json").read_text())
    val = tabletop.split("val")
    records = {image.id: image for image in val.images}
    assert content["images"]
    for image in content["images"]:
        photo = (
            tmp_path / "coco" / "train2017" / image["file_name"]
        )  # where register_refcoco_dataset.py looks
        assert photo.read_bytes() == val.image_path(records[image["id"]]).read_bytes()
        rows = [row for row in content["annotations"] if row["image_id"] == image["id"]]
        assert rows, "the original's mapper asserts that there are some"
        ids = val.id_map(records[image["id"]])
        for row in rows:
            mask = decode(row["segmentation"], image["width"], image["height"])
            assert np.array_equal(mask == 1, ids == row["segment_id"]) and row["sentences"][0]["raw"]


def test_a_dataset_without_phrases_or_val_is_not_tested_on_them(tmp_path: Path) -> None:
    build(colors=COLORS, polys=render(tmp_path / "scenes", 2), out=tmp_path / "d", workers=1, split="train=1")
    assert """'{"DATASETS.TEST": []}'""" in export(Dataset(tmp_path / "d"), "seem", tmp_path / "out")[-1]
    assert not (tmp_path / "out" / "coco" / "annotations" / "refcocog_umd_val.json").exists()


def test_a_folders_name_is_no_code(mixed: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = export(mixed, "detectron2", tmp_path / "my export's")
    assert shlex.split(command, comments=True)[0] == f"PYTHONPATH={tmp_path}/my export's"
    calls: list[tuple[Any, ...]] = []
    stand_in(monkeypatch, "detectron2.data.datasets", register_coco_panoptic=lambda *args: calls.append(args))
    runpy.run_path(str(tmp_path / "my export's" / "register.py"))
    assert [name for name, *_ in calls] == ['it\'s {a} "b"_train', 'it\'s {a} "b"_val']


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("field", ["images", "annotations"])
def test_no_name_of_a_dataset_leads_an_export_out_of_its_folder(
    tabletop: Dataset, tmp_path: Path, to: str, field: str
) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(tabletop.root, foreign)
    path = foreign / "train" / "panoptic.json"
    content = json.loads(path.read_text())
    content[field][0]["file_name"] = "../../../precious.png"
    path.write_text(json.dumps(content))
    (tmp_path / "precious.png").write_bytes(b"mine")
    with pytest.raises(DataError, match="not a name within its folder"):
        export(Dataset(foreign), to, tmp_path / "out" / "deep")
    assert (tmp_path / "precious.png").read_bytes() == b"mine"
    assert not list((tmp_path / "out").rglob("*.png"))


@pytest.mark.parametrize("to", TARGETS)
def test_photos_are_copies_unless_links_are_asked_for(tabletop: Dataset, tmp_path: Path, to: str) -> None:
    for link in (False, True):
        out = tmp_path / str(link)
        export(tabletop, to, out, link=link)
        photos = [path for path in out.rglob("*") if path.suffix == ".jpg"]
        assert len(photos) == 8
        assert {path.stat().st_nlink > 1 for path in photos} == {link}


def test_a_dataset_without_train_and_val_is_refused(tmp_path: Path) -> None:
    build(colors=COLORS, polys=render(tmp_path / "scenes", 2), out=tmp_path / "d", workers=1, split="test=1")
    with pytest.raises(DataError, match="has no train or val split, only test"):
        export(Dataset(tmp_path / "d"), "seem", tmp_path / "out")


@pytest.mark.parametrize("to", TARGETS)
def test_an_export_gets_a_folder_of_its_own(tabletop: Dataset, tmp_path: Path, to: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in tabletop.root.rglob("*")}
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "holiday.jpg").touch()
    for out in (tabletop.root, tabletop.root / "export", tabletop.root.parent, tmp_path):
        with pytest.raises(DataError, match=r"--out: .*a new or empty folder"):
            export(tabletop, to, out)
    assert before == {path: path.stat().st_mtime_ns for path in tabletop.root.rglob("*")}
    assert [path.name for path in tmp_path.rglob("*.*")] == ["holiday.jpg"]
    following = export(tabletop, to, tmp_path / "new")
    if to == "labelme":  # people correct it there
        with pytest.raises(DataError, match=r"holds .* already"):
            export(tabletop, to, tmp_path / "new")
    else:
        assert export(tabletop, to, tmp_path / "new") == following


@pytest.mark.parametrize("to", TARGETS)
def test_an_export_that_was_stopped_is_repeated(tabletop: Dataset, tmp_path: Path, to: str) -> None:
    def stop(_step: str, done: int, total: int) -> None:
        assert total == 8
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(tabletop, to, tmp_path / "stopped", progress=stop)
    export(tabletop, to, tmp_path / "stopped")
    export(tabletop, to, tmp_path / "whole")

    def files(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_options_that_mean_nothing_are_refused_together(tabletop: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        export(tabletop, "yollo", tmp_path, tolerance=-1)
    assert [problem.where for problem in refused.value.problems] == ["--to", "--tolerance"]
    with pytest.raises(DataError, match="seem gets exact masks"):
        export(tabletop, "seem", tmp_path, tolerance=1)
    assert not list(tmp_path.iterdir())
