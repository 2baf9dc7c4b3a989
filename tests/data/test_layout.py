"""The layout: what is written is read back, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seem_data.categories import parse
from seem_data.layout import (
    ROW_FILES,
    Dataset,
    ImageRecord,
    Segment,
    SplitWriter,
    encode_rows,
    semantic_ignore,
    write_categories,
    write_info,
)
from seem_data.problems import DataError
from tests.data.scenes import CATEGORIES

CATS = parse(CATEGORIES)
HASHES = ("a" * 64, "b" * 64, "c" * 64)


def record(number: int) -> ImageRecord:
    segments = (Segment(7, 1, 12, (0, 0, 4, 3)), Segment(9, 3, 5, (1, 2, 5, 1), 0))
    return ImageRecord(number, f"{number}.jpg", 64, 48, f"{number}.png", segments)


def instance(number: int) -> dict[str, object]:
    return {"segment_id": number, "category_id": 1}


def grounding(number: int, *sentences: str) -> dict[str, object]:
    said = [{"raw": raw, "kind": "own"} for raw in sentences]
    return {"segment_id": number, "category_id": 1, "sentences": said}


#: One instance, and one grounding with two sentences.
ROWS = (encode_rows([instance(7)]), encode_rows([grounding(7, "a cup", "the cup")]), 2)


def write(root: Path, count: int = 3) -> SplitWriter:
    with SplitWriter(root, CATS) as writer:
        for number in range(count):
            writer.add(record(number), *ROWS, HASHES)
    return writer


def test_rows_are_read_back(tmp_path: Path) -> None:
    writer = write(tmp_path / "train")
    write_categories(tmp_path, CATS)
    write_info(tmp_path, "kitchen", {"seed": 1}, {"train": writer.counts})
    dataset = Dataset(tmp_path)
    assert dataset.split_names == ["train"]
    assert [category.as_coco() for category in dataset.categories] == CATS.as_coco()
    split = dataset.split("train")
    assert split.images == [record(0), record(1), record(2)]
    assert [[s.raw for s in row.sentences] for row in split.grounding()] == [["a cup", "the cup"]] * 3
    info = dataset.info()
    assert (info["name"], info["layout"], info["options"]) == ("kitchen", 1, {"seed": 1})
    counts = info["splits"]["train"]
    told = [counts[key] for key in ("images", "segments", "instances", "grounded_segments", "sentences")]
    assert told == [3, 6, 3, 3, 6]


def test_ids_are_counted_over_the_split_and_files_are_plain_coco(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ROW_FILES:
        file = json.loads((tmp_path / name).read_text())
        assert file["categories"] == CATS.as_coco()
        assert [image["id"] for image in file["images"]] == [0, 1, 2]
    for name in ROW_FILES[1:]:
        rows = json.loads((tmp_path / name).read_text())["annotations"]
        assert [(row["id"], row["image_id"]) for row in rows] == [(1, 0), (2, 1), (3, 2)]


def test_a_split_without_images_is_json_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, count=0)
    assert json.loads((tmp_path / "panoptic.json").read_text())["images"] == []


def test_nothing_appears_when_writing_breaks_off(tmp_path: Path) -> None:
    write(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ROW_FILES}
    with pytest.raises(KeyboardInterrupt), SplitWriter(tmp_path, CATS) as writer:
        writer.add(record(5), [], [], 0, HASHES)
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_fingerprint_sees_every_file(tmp_path: Path) -> None:
    first, again = write(tmp_path / "a").counts.fingerprint, write(tmp_path / "b").counts.fingerprint
    assert first == again
    with SplitWriter(tmp_path / "c", CATS) as writer:
        for number in range(3):
            hashes = HASHES if number else ("d" * 64, *HASHES[1:])
            writer.add(record(number), *ROWS, hashes)
    assert writer.counts.fingerprint != first


@pytest.mark.parametrize(("count", "ignore"), [(1, 255), (255, 255), (256, 65535)])
def test_semantic_pngs_are_16_bit_where_8_do_not_suffice(count: int, ignore: int) -> None:
    assert semantic_ignore(count) == ignore


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="seem-data build"):
        Dataset(tmp_path)
    write_categories(tmp_path, CATS)
    write(tmp_path / "train")
    with pytest.raises(DataError, match="has no split 'val'; there are: train"):
        Dataset(tmp_path).split("val")


def test_a_malformed_file_is_told_with_the_place(tmp_path: Path) -> None:
    write_categories(tmp_path, CATS)
    write(tmp_path / "train")
    path = tmp_path / "train" / "panoptic.json"
    path.write_text(path.read_text().replace('"area":12', '"area":"much"', 1))
    with pytest.raises(DataError, match=r"area"):
        _ = Dataset(tmp_path).split("train").images


def test_an_image_without_annotation_is_told(tmp_path: Path) -> None:
    write_categories(tmp_path, CATS)
    write(tmp_path / "train")
    path = tmp_path / "train" / "panoptic.json"
    file = json.loads(path.read_text())
    del file["annotations"][1]
    path.write_text(json.dumps(file))
    with pytest.raises(DataError, match=r"1\.jpg"):
        _ = Dataset(tmp_path).split("train").images


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/etc/x.png", "..\\x.png", "C:\\x.png", "", "a\0.png"]
)
@pytest.mark.parametrize("field", ["images", "annotations"])
def test_a_name_that_leads_out_of_a_dataset_is_refused(tmp_path: Path, name: str, field: str) -> None:
    write_categories(tmp_path, CATS)
    with SplitWriter(tmp_path / "train", CATS) as writer:
        writer.add(record(1), [], [], 0, HASHES)
    path = tmp_path / "train" / "panoptic.json"
    content = json.loads(path.read_text())
    content[field][0]["file_name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"panoptic\.json: names the file .*not a name within its folder"):
        assert Dataset(tmp_path).split("train").images
