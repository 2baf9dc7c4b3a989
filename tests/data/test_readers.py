"""What all readers share: how formats are told apart, and that each says what it reads."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from reading import make_photo, read, write_json

from seem_data.problems import DataError
from seem_data.readers import FORMATS, Reader, all_readers, detect


@pytest.mark.parametrize("reader", all_readers(), ids=lambda reader: reader.name)
def test_every_reader_keeps_the_protocol_and_documents_itself(reader):
    assert isinstance(reader, Reader) and reader.name in FORMATS
    assert reader.title and reader.recognised_by and reader.shapes
    assert reader.exif in ("applied", "ignored")
    module = __import__(type(reader).__module__, fromlist=["READER"])
    text = " ".join((module.__doc__ or "").split())
    assert "Format:" in text and "EXIF" in text
    assert any(phrase in text for phrase in ("Left out", "Reported", "not read"))
    assert pickle.loads(pickle.dumps(reader)).name == reader.name


def test_a_path_that_does_not_exist_is_told_as_such(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        detect(tmp_path / "nowhere")


def test_a_folder_of_nothing_known_lists_the_formats(tmp_path):
    make_photo(tmp_path / "a.jpg")
    write_json(tmp_path / "a.json", {"hello": 1})
    with pytest.raises(DataError, match="labelme, coco, panoptic"):
        detect(tmp_path)


def test_two_formats_in_one_folder_ask_for_a_choice(tmp_path):
    write_json(tmp_path / "a.json", {"shapes": [], "imagePath": "a.jpg"})
    (tmp_path / "a.xml").write_text("<annotations/>")
    with pytest.raises(DataError, match=r"LabelMe JSON and CVAT XML 1\.1.*--format labelme or --format cvat"):
        detect(tmp_path)


@pytest.mark.parametrize("reader", all_readers(), ids=lambda reader: reader.name)
def test_recognising_never_fails(reader, tmp_path):
    for name in ("a.json", "b.xml", "c.yaml", "data.yaml", "d.txt", "obj.data"):
        for content in (b"", b"\xff\xfe", b"\x00\x01", b"{", b"[[[", b"<a", b"names:", b"\xef\xbb\xbf"):
            path = tmp_path / name
            path.write_bytes(content)
            assert reader.recognises(path) in (True, False)
            assert reader.recognises(tmp_path) in (True, False)
    assert reader.recognises(tmp_path / "nowhere") is False


def test_the_reader_that_contributing_shows_works(tmp_path):
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
    (example,) = (
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "READER =" in block
    )
    namespace: dict = {}
    exec(example, namespace)
    reader = namespace["READER"]
    assert isinstance(reader, Reader)
    make_photo(tmp_path / "a.jpg")
    (tmp_path / "a.plants.txt").write_text("leaf 10,10 60,10 60,90\nleaf 1,2 x,y 3,4\n")
    assert reader.recognises(tmp_path) and not reader.recognises(tmp_path / "a.jpg")
    annotations, problems = read(reader, tmp_path)
    (region,) = annotations["a.jpg"].regions
    assert region.label == "leaf" and region.parts[0].outer.tolist() == [[10, 10], [60, 10], [60, 90]]
    assert [problem.where for problem in problems] == ["line 2"]
