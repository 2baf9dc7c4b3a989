"""The validator finds every fault planted in a good dataset, and repairs what can be repaired."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from typer.testing import CliRunner

import seem_data
from seem_data.checking.repair import SET_ASIDE, repair
from seem_data.checking.validate import validate
from seem_data.checking.validate_image import polygon_faults
from seem_data.cli import app
from seem_data.encoding.segment_map import SegmentMap
from seem_data.layout import Dataset
from seem_data.problems import DataError
from tests.data.scenes import HEIGHT, WIDTH, tree, write_colors, write_scenes


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    polys = write_scenes(folder / "ann", 6)
    seem_data.build(write_colors(folder), polys, folder / "dataset", split="train=4,val=2", workers=1)
    return folder / "dataset"


@pytest.fixture
def dataset(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "dataset"))


class Fault:
    """Plants one fault: `spoil` gets the dataset's folder. `repaired` says whether --fix mends it."""

    def __init__(self, code: str, spoil: Callable[[Path], None], repaired: bool = True) -> None:
        self.code, self.spoil, self.repaired = code, spoil, repaired


def edit(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    """Change a JSON file of the dataset."""

    def spoil(root: Path) -> None:
        content = json.loads((root / name).read_text())
        change(content)
        (root / name).write_text(json.dumps(content))

    return spoil


def row(index: int, **changes: Any) -> Callable[[Any], None]:
    return lambda file: file["annotations"][index].update(changes)


def segment(**changes: Any) -> Callable[[Any], None]:
    return lambda file: file["annotations"][0]["segments_info"][-1].update(changes)


def add_copy(key: str, index: int = 0, **changes: Any) -> Callable[[Any], None]:
    return lambda file: file[key].append({**file[key][index], **changes})


def first(root: Path, folder: str) -> Path:
    split = Dataset(root).split("train")
    image = split.images[0]
    name = image.file_name if folder == "images" else image.panoptic_name
    return split.root / folder / name


def remove(folder: str) -> Callable[[Path], None]:
    return lambda root: first(root, folder).unlink()


def cut(folder: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = first(root, folder)
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data[: len(data) // 2])

    return spoil


def repaint(folder: str, change: Callable[[np.ndarray], np.ndarray], **save: Any) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = first(root, folder)
        with Image.open(path) as opened:
            pixels = np.array(opened)
        path.unlink()
        Image.fromarray(change(pixels)).save(path, **save)

    return spoil


def paint(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(pixels: np.ndarray) -> np.ndarray:
        pixels[:5, :5] = value
        return pixels

    return change


def drop_instance(file: Any) -> None:
    del file["annotations"][0]


def mask_of_another(file: Any) -> None:
    file["annotations"][0]["segmentation"] = file["annotations"][1]["segmentation"]


def forget_annotation(file: Any) -> None:
    del file["annotations"][0]


def one_sentence_for_all(file: Any) -> None:
    for annotation in file["annotations"]:
        annotation["sentences"] = [{"raw": "The left one", "kind": "position"}]


def second_stuff(file: Any) -> None:
    """One more segment calls itself stuff that is there already."""
    segments = file["annotations"][0]["segments_info"]
    stuff = next(s for s in segments if s["category_id"] in (3, 4))
    next(s for s in segments if s["category_id"] not in (3, 4))["category_id"] = stuff["category_id"]


def same_photo_in_val(root: Path) -> None:
    val = Dataset(root).split("val")
    target = val.image_path(val.images[0])
    target.unlink()
    shutil.copy(first(root, "images"), target)


def turned(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    repaint("images", lambda pixels: pixels, exif=exif)(root)


SQUARE = [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0]]
TRIANGLE = [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0]]
TRAIN = "train/panoptic.json"
INSTANCES = "train/instances.json"
GROUNDING = "train/grounding.json"

FAULTS = {
    "dataset.json is gone": Fault("no-info", lambda root: (root / "dataset.json").unlink()),
    "dataset.json is no object": Fault(
        "bad-info", lambda root: (root / "dataset.json").write_text("[]") and None
    ),
    "another layout version": Fault("layout-version", edit("dataset.json", lambda d: d.update(layout=9))),
    "dataset.json lists a split that is not there": Fault(
        "other-splits", edit("dataset.json", lambda d: d["splits"].update(test={}))
    ),
    "photo removed": Fault("missing-photo", remove("images")),
    "photo cut off": Fault("bad-photo", cut("images")),
    "photo of another size": Fault("photo-size", repaint("images", lambda p: p[:-8])),
    "photo turned by EXIF": Fault("turned-photo", turned, repaired=False),
    "photo of train in val": Fault("photo-in-two-splits", same_photo_in_val, repaired=False),
    "panoptic PNG removed": Fault("missing-panoptic", remove("panoptic")),
    "panoptic PNG cut off": Fault("bad-panoptic", cut("panoptic")),
    "panoptic PNG grey": Fault("bad-panoptic", repaint("panoptic", lambda p: p[..., 0])),
    "panoptic PNG of another size": Fault("panoptic-size", repaint("panoptic", lambda p: p[:, :-4])),
    "pixels of no listed segment": Fault("unlisted-segment", repaint("panoptic", paint((1, 2, 3)))),
    "pixels repainted as void": Fault("wrong-area", repaint("panoptic", paint(0))),
    "semantic PNG removed": Fault("missing-semantic", remove("semantic")),
    "semantic PNG is RGB": Fault("bad-semantic", repaint("semantic", lambda p: np.stack([p] * 3, axis=2))),
    "semantic PNG is no PNG": Fault(
        "bad-semantic", lambda r: first(r, "semantic").write_text("PNG") and None
    ),
    "semantic PNG empty": Fault("bad-semantic", lambda r: first(r, "semantic").write_bytes(b"") and None),
    "semantic PNG of another size": Fault("semantic-size", repaint("semantic", lambda p: p[:-1])),
    "semantic PNG of another category": Fault("semantic-differs", repaint("semantic", paint(0))),
    "a stray photo": Fault("stray-file", lambda r: (r / "val/images/extra.jpg").touch()),
    "panoptic.json is gone": Fault(
        "no-splits", lambda r: [p.unlink() for p in r.glob("*/panoptic.json")] and None, repaired=False
    ),
    "panoptic.json is no JSON": Fault(
        "bad-json", lambda r: (r / TRAIN).write_text("{") and None, repaired=False
    ),
    "an id is text": Fault("bad-json", edit(TRAIN, row(0, image_id="one")), repaired=False),
    "other categories": Fault("other-categories", edit(TRAIN, lambda d: d["categories"].pop())),
    "two images of one id": Fault("duplicate-image-id", edit(TRAIN, add_copy("images", file_name="b.jpg"))),
    "two images of one name": Fault("duplicate-file-name", edit(TRAIN, add_copy("images", id=99))),
    "two annotations for an image": Fault("duplicate-annotation", edit(TRAIN, add_copy("annotations"))),
    "two annotations of one PNG": Fault(
        "duplicate-file-name", edit(TRAIN, add_copy("annotations", image_id=99))
    ),
    "an annotation for no image": Fault(
        "lost-annotation", edit(TRAIN, add_copy("annotations", image_id=99, file_name="z.png"))
    ),
    "an image without annotation": Fault("no-annotation", edit(TRAIN, forget_annotation)),
    "a name that leaves its folder": Fault(
        "unsafe-name", edit(TRAIN, lambda d: d["images"][0].update(file_name="../../../etc/passwd"))
    ),
    "a PNG name that leaves its folder": Fault("unsafe-name", edit(TRAIN, row(0, file_name="a\\b.png"))),
    "wrong area": Fault("wrong-area", edit(TRAIN, segment(area=1))),
    "wrong bbox": Fault("wrong-bbox", edit(TRAIN, segment(bbox=[0, 0, 1, 1]))),
    "iscrowd is 2": Fault("bad-iscrowd", edit(TRAIN, segment(iscrowd=2))),
    "unknown category": Fault("unknown-category", edit(TRAIN, segment(category_id=77))),
    "segment id 0": Fault("bad-segment-id", edit(TRAIN, segment(id=0))),
    "segment without pixels": Fault("ghost-segment", edit(TRAIN, segment(id=12345))),
    "segment listed twice": Fault(
        "duplicate-segment",
        edit(
            TRAIN,
            lambda d: d["annotations"][0]["segments_info"].append(d["annotations"][0]["segments_info"][0]),
        ),
    ),
    "stuff in two segments": Fault("split-stuff", edit(TRAIN, second_stuff), repaired=False),
    "instances.json is gone": Fault("missing-file", lambda r: (r / INSTANCES).unlink()),
    "instances.json of other images": Fault("other-images", edit(INSTANCES, lambda d: d["images"].pop())),
    "instance of no segment": Fault("lost-instance", edit(INSTANCES, row(0, segment_id=5))),
    "instance of no image": Fault("lost-annotation", edit(INSTANCES, row(0, image_id=555))),
    "instance twice": Fault("duplicate-instance", edit(INSTANCES, add_copy("annotations", id=999))),
    "instance id twice": Fault("duplicate-id", edit(INSTANCES, add_copy("annotations"))),
    "instance missing": Fault("no-instance", edit(INSTANCES, drop_instance)),
    "instance of another category": Fault("instance-differs", edit(INSTANCES, row(0, category_id=3))),
    "instance of another area": Fault("instance-differs", edit(INSTANCES, row(0, area=1.5))),
    "instance of another mask": Fault("instance-mask", edit(INSTANCES, mask_of_another)),
    "grounding.json is gone": Fault("missing-file", lambda r: (r / GROUNDING).unlink(), repaired=False),
    "grounding of no segment": Fault("lost-grounding", edit(GROUNDING, row(0, segment_id=5))),
    "grounding of no image": Fault("lost-annotation", edit(GROUNDING, row(0, image_id=555))),
    "grounding twice": Fault("duplicate-grounding", edit(GROUNDING, add_copy("annotations", id=999))),
    "grounding of another category": Fault("grounding-differs", edit(GROUNDING, row(0, category_id=2))),
    "grounding of another bbox": Fault("grounding-differs", edit(GROUNDING, row(0, bbox=[0, 0, 1, 1]))),
    "no sentence": Fault("no-sentence", edit(GROUNDING, row(0, sentences=[]))),
    "an empty sentence": Fault(
        "no-sentence", edit(GROUNDING, row(0, sentences=[{"raw": " ", "kind": "own"}]))
    ),
    "a sentence of unknown kind": Fault(
        "unknown-kind", edit(GROUNDING, row(0, sentences=[{"raw": "a cup", "kind": "poem"}]))
    ),
    "a sentence that means several": Fault(
        "ambiguous-sentence", edit(GROUNDING, one_sentence_for_all), False
    ),
    "no polygon": Fault("bad-polygon", edit(GROUNDING, row(0, segmentation=[]))),
    "a triangle first": Fault("bad-polygon", edit(GROUNDING, row(0, segmentation=TRIANGLE))),
    "polygons of another area": Fault("polygons-differ", edit(GROUNDING, row(0, segmentation=SQUARE))),
    "polygons that overlap": Fault("overlapping-polygons", edit(GROUNDING, row(0, segmentation=SQUARE * 2))),
    "any byte changed": Fault("changed", lambda r: (r / TRAIN).open("a").write("\n") and None),
}


def test_a_built_dataset_has_no_problem(good: Path) -> None:
    assert validate(good, workers=1) == []
    assert repair(good, workers=1) == ([], [])


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_repaired_where_possible(name: str, dataset: Path) -> None:
    fault = FAULTS[name]
    fault.spoil(dataset)
    found = validate(dataset, workers=1)
    assert fault.code in {problem.code for problem in found}
    assert all(problem.file.startswith(str(dataset)) and problem.message for problem in found)
    repaired, left = repair(dataset, workers=1)
    assert left == validate(dataset, workers=1)
    if fault.repaired:
        assert left == []
        assert fault.code in {problem.code for problem in repaired}
    else:
        assert fault.code in {problem.code for problem in left}


@pytest.mark.parametrize(
    "name",
    [
        "dataset.json is gone",
        "semantic PNG removed",
        "wrong area",
        "instance missing",
        "instance of another mask",
        "other categories",
        "a stray photo",
        "grounding twice",
    ],
)
def test_what_follows_from_the_pixels_is_repaired_to_the_byte(name: str, dataset: Path, good: Path) -> None:
    FAULTS[name].spoil(dataset)
    repair(dataset, workers=1)
    repaired = {path: data for path, data in tree(dataset).items() if not path.startswith(SET_ASIDE)}
    expected = tree(good)
    if name == "dataset.json is gone":  # name and options cannot be made up
        del repaired["dataset.json"], expected["dataset.json"]
    assert repaired == expected


def test_repair_deletes_nothing_that_it_does_not_know(dataset: Path) -> None:
    (dataset / "train/images/mine.txt").write_text("keep me")
    remove("panoptic")(dataset)
    photo = first(dataset, "images")
    data = photo.read_bytes()
    repair(dataset, workers=1)
    assert (dataset / SET_ASIDE / "train/images/mine.txt").read_text() == "keep me"
    assert (dataset / SET_ASIDE / "train/images" / photo.name).read_bytes() == data


def test_more_segments_than_queries_are_a_note_and_no_fault(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seem_data.checking.validate_image.QUERIES", 2)
    (note, *_) = notes = validate(dataset, workers=1)
    assert {(problem.code, problem.severity) for problem in notes} == {("more-than-queries", "note")}
    counts = {image.file_name: len(image.segments) for image in Dataset(dataset).split("train").images}
    name = Path(note.file).name
    assert f"has {counts[name]} segments; SEEM finds 2 in an image at most" in note.message and note.remedy
    assert repair(dataset, workers=1) == ([], notes)
    said = CliRunner().invoke(app, ["validate", str(dataset), "--workers", "1"])
    assert said.exit_code == 0 and f"is valid, {len(notes)} notes." in said.output


def test_a_pool_finds_the_same(dataset: Path) -> None:
    for index in range(3):
        remove(("images", "panoptic", "semantic")[index])(dataset)
    assert validate(dataset, workers=2) == validate(dataset, workers=1)


def test_what_is_no_dataset_is_refused(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(DataError, match="is no dataset"):
        validate(tmp_path)
    with pytest.raises(DataError, match="--workers"):
        validate(dataset, workers=0)
    (dataset / "categories.json").write_text("[]")
    with pytest.raises(DataError, match="no category"):
        validate(dataset)


def test_a_segment_map_is_what_the_pixels_say() -> None:
    random = np.random.default_rng(0)
    ids = random.choice([0, 5, 70000, 2**24 - 1], (HEIGHT, WIDTH)).astype(np.int32)
    found = SegmentMap.of(ids)
    assert list(found.segments) == [5, 70000, 2**24 - 1]
    for number, fact in found.segments.items():
        rows, columns = np.nonzero(ids == number)
        box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert (fact.area, fact.bbox) == (len(rows), box)
    nothing = SegmentMap.of(np.zeros((3, 4), np.int32))
    assert nothing.segments == {} and not nothing.index.any()


def test_a_segment_of_very_many_polygons_can_be_checked() -> None:
    polygons = [[float(n) for n in (x, y, x + 1, y, x + 1, y + 1, x, y + 1)] for x in range(0, 40, 2)
                for y in range(0, 40, 2)]  # fmt: skip
    mask = coco_mask.merge(coco_mask.frPyObjects(polygons, 40, 40))  # pyright: ignore
    assert list(polygon_faults(polygons, mask, (40, 40))) == []
    assert [code for code, _ in polygon_faults(polygons[:1] * 300, mask, (40, 40))] == [
        "overlapping-polygons",
        "polygons-differ",
    ]
