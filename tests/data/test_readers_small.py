"""The small readers: Cityscapes' polygons, SA-1B, ISAT, Datumaro; and formats that are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from reading import area, codes, full_mask, make_photo, read, write_json

from seem_data import build
from seem_data.annotations import UNLABELED, VOID
from seem_data.problems import DataError
from seem_data.readers import detect, get

SQUARE = [[1, 2], [11, 2], [11, 12], [1, 12]]


def runs(width: int = 40, height: int = 30) -> tuple[dict[str, Any], np.ndarray]:
    """Compressed run lengths as pycocotools writes them, and the mask they stand for."""
    mask = np.zeros((height, width), np.uint8)
    mask[3:9, 5:25] = 1
    encoded = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}, mask.astype(bool)


def cityscapes(folder: Path, *objects: dict[str, Any]) -> Path:
    make_photo(folder / "leftImg8bit" / "val" / "ulm" / "u_1_leftImg8bit.png")
    content = {"imgHeight": 30, "imgWidth": 40, "objects": list(objects)}
    return write_json(folder / "gtFine" / "val" / "ulm" / "u_1_gtFine_polygons.json", content)


def sa1b(folder: Path, *annotations: dict[str, Any]) -> Path:
    make_photo(folder / "sa_1.jpg")
    image = {"image_id": 1, "width": 40, "height": 30, "file_name": "sa_1.jpg"}
    return write_json(folder / "sa_1.json", {"image": image, "annotations": list(annotations)})


def isat(folder: Path, *objects: dict[str, Any]) -> Path:
    make_photo(folder / "a.jpg")
    info = {"description": "ISAT", "folder": "/x", "name": "a.jpg", "width": 40, "height": 30, "depth": 3}
    return write_json(folder / "a.json", {"info": info, "objects": list(objects)})


def isat_object(**fields: Any) -> dict[str, Any]:
    plain = {
        "category": "cup",
        "group": 1,
        "segmentation": SQUARE,
        "layer": 1.0,
        "iscrowd": False,
        "note": "",
    }
    return {**plain, **fields}


def datumaro(folder: Path, *annotations: dict[str, Any]) -> Path:
    make_photo(folder / "images" / "train" / "a.jpg")
    labels = [{"name": "cup", "parent": "", "attributes": []}, {"name": "plate"}]
    item = {"id": "a", "annotations": list(annotations), "image": {"path": "a.jpg", "size": [30, 40]}}
    content = {"info": {}, "categories": {"label": {"labels": labels}}, "items": [item]}
    return write_json(folder / "annotations" / "train.json", content)


def shape(kind: str = "polygon", **fields: Any) -> dict[str, Any]:
    points = {"points": [1, 2, 11, 2, 11, 12, 1, 12]} if kind in ("polygon", "polyline") else {}
    return {
        "id": 0,
        "type": kind,
        "label_id": 0,
        "group": 0,
        "z_order": 0,
        "attributes": {},
        **points,
        **fields,
    }


def only(name, folder):
    assert detect(folder).name == name
    annotations, problems = read(name, folder)
    (annotation,) = annotations.values()
    return annotation, problems


def test_cityscapes_groups_are_crowds_and_the_car_itself_is_void(tmp_path):
    rows = [("road", {}), ("cargroup", {}), ("ego vehicle", {}), ("car", {"deleted": 1}), ("mygroup", {})]
    cityscapes(tmp_path, *({"label": label, "polygon": SQUARE, **more} for label, more in rows))
    for folder in (tmp_path, tmp_path / "gtFine", tmp_path / "gtFine" / "val"):
        annotation, problems = only("cityscapes", folder)
        found = [(region.label, region.iscrowd) for region in annotation.regions]
        assert found == [("road", False), ("car", True), (VOID, False), ("mygroup", False)] and not problems
        assert annotation.size == (40, 30) and annotation.image.name == "u_1_leftImg8bit.png"


def test_sa1b_masks_have_no_label(tmp_path):
    rle, mask = runs()
    sa1b(tmp_path, {"id": 7, "segmentation": rle, "bbox": [5, 3, 20, 6]}, {"id": 8})
    annotation, (problem,) = only("sa1b", tmp_path)
    (region,) = annotation.regions
    assert region.label == "" and (full_mask(region.parts[0], 40, 30) == mask).all()
    assert problem.code == "no-segmentation" and problem.where == "annotations[1]"


def test_isat_layers_and_groups_are_carried(tmp_path):
    ground = isat_object(category="__background__", layer="3.0", group=None)
    isat(tmp_path, isat_object(note="the blue cup", iscrowd=1), isat_object(segmentation=[[1, 2]]), ground)
    annotation, (problem,) = only("isat", tmp_path)
    cup, other = annotation.regions
    assert (cup.label, cup.group, cup.z, cup.iscrowd, area(cup)) == ("cup", 1, 1, True, 100)
    assert [sentence.raw for sentence in cup.sentences] == ["the blue cup"]
    assert (other.label, other.z, other.group) == (UNLABELED, 3, None)
    assert problem.code == "too-few-points" and problem.where == "objects[1]"


def test_files_of_another_kind_among_those_of_a_format_are_told_once(tmp_path):
    isat(tmp_path, isat_object())
    for number in range(3):
        write_json(tmp_path / f"other{number}.json", {"shapes": [], "imagePath": "a.jpg"})
    annotations, (problem,) = read("isat", tmp_path)
    assert len(annotations) == 1
    assert (problem.code, problem.severity) == ("other-json", "note") and "3 JSON" in problem.message


def test_datumaro_shapes(tmp_path):
    rle, mask = runs()
    datumaro(
        tmp_path,
        shape(group=4, z_order=2),
        shape("bbox", bbox=[1, 2, 10, 10], group=4),
        shape("mask", rle=rle, label_id=1, attributes={"is_crowd": True}),
        shape("bbox", bbox=[1, 2, 10, 5]),
        shape("ellipse", points=[10, 10, 20, 16]),
        shape("polyline"),
        shape("points", points=[1, 2]),
        shape("label"),
        shape(label_id=9),
    )
    annotation, problems = only("datumaro", tmp_path)
    cup, plate, box, ellipse = annotation.regions
    assert (cup.label, cup.group, cup.z) == ("cup", 4, 2) and area(box) == 50
    assert (plate.label, plate.iscrowd) == ("plate", True)
    assert (full_mask(plate.parts[0], 40, 30) == mask).all()
    assert np.ptp(ellipse.parts[0].outer, axis=0) == pytest.approx([10, 6])
    assert codes(problems) == ["box-of-outline", "no-area", "no-area", "unknown-category-id"]
    assert annotation.split == "train"


FOREIGN = {
    "V7 Darwin": {"version": "2.0", "schema_ref": "https://x/darwin_json/2.0", "item": {}, "annotations": []},
    "Darwin": {"image": {"workview_url": "x/darwin", "filename": "a.jpg"}, "annotations": []},
    "Labelbox": [{"data_row": {"id": "x"}, "media_attributes": {}, "projects": {}}],
    "a Labelbox": [{"ID": "x", "DataRow ID": "y", "Labeled Data": "x/a.jpg", "Label": {"objects": []}}],
    "SuperAnnotate": {"metadata": {"name": "a.jpg", "width": 40, "height": 30}, "instances": []},
    "Segments.ai": {"name": "v1", "dataset": {"samples": [{"name": "a.jpg", "labels": {}}]}},
    "Encord": [{"label_hash": "x", "data_hash": "y", "data_title": "a.jpg", "data_units": {}}],
    "Hasty": {"project_name": "x", "export_format_version": "1.1", "label_classes": [],
              "images": [{"image_id": "1", "image_name": "a.jpg", "labels": []}], "annotations": []},
    "Kili": [{"id": "x", "externalId": "a", "content": "", "labels": [{"jsonResponse": {"JOB": {}}}]}],
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_formats_that_are_not_read_are_refused_by_name(tmp_path, name):
    make_photo(tmp_path / "a.jpg")
    write_json(tmp_path / "a.json", FOREIGN[name])
    for path in (tmp_path, tmp_path / "a.json"):
        with pytest.raises(DataError, match=f"{name}.*not read.*(COCO|coco)") as caught:
            detect(path)
        assert caught.value.problems[0].code == "foreign-format"


def test_lines_of_json_of_labelbox_are_known(tmp_path):
    (tmp_path / "export.ndjson").write_text('{"data_row": {"id": 1}, "media_attributes": {}}\n' * 2)
    with pytest.raises(DataError, match="Labelbox"):
        detect(tmp_path)


def test_an_archive_is_one_whatever_format_it_is_said_to_be(tmp_path):
    path = tmp_path / "export.ZIP"
    path.write_bytes(b"PK")
    for words in ({"polys": path, "format": "coco"}, {"masks": path}, {"polys": tmp_path, "images": path}):
        with pytest.raises(DataError) as caught:
            build(write_json(tmp_path / "cats.json", {}), out=tmp_path / "out", **words)
        assert "archive" in codes(caught.value.problems)


@pytest.mark.parametrize("inside", [True, False])
def test_an_archive_is_to_be_unpacked(tmp_path, inside):
    path = tmp_path / "export.zip"
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"archive.*Unpack") as caught:
        detect(tmp_path if inside else path)
    assert caught.value.problems[0].code == "archive"


def test_a_folder_of_pictures_may_be_one_of_masks(tmp_path):
    make_photo(tmp_path / "a.png")
    with pytest.raises(DataError, match="--masks"):
        detect(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {"image": {"file_name": "a.jpg"}, "annotations": []},
        {"annotations": [], "item": {}},
        {"images": [{"image_name": "a.jpg"}], "label_classes": []},
        {"images": 5, "annotations": 5},
    ],
)
def test_what_is_no_coco_is_not_taken_for_it(tmp_path, content):
    write_json(tmp_path / "a.json", content)
    assert not get("coco").recognises(tmp_path)
