"""Sentences files as people make them: JSON by programs, CSV by spreadsheets of any country."""

from __future__ import annotations

from pathlib import Path

import pytest

from seem_data.problems import DataError
from seem_data.sentences.file import SentencesFile

ROWS = [
    ("image", "object", "sentence"),
    ("a.jpg", "cup#2", "the café's cup, chipped"),
    ("a.jpg", "cup#2", 'a "nice" one'),
    ("kitchen/b.jpg", "shapes[0]", "my plate"),
]
READ = {
    "a.jpg": {"cup#2": ["the café's cup, chipped", 'a "nice" one']},
    "kitchen/b.jpg": {"shapes[0]": ["my plate"]},
}


def table(separator: str, rows: list[tuple[str, ...]] = ROWS) -> str:
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows[1:]]
    return "\r\n".join(separator.join(row) for row in [rows[0], *quoted]) + "\r\n"


def written(folder: Path, name: str, content: str, encoding: str = "utf-8") -> SentencesFile:
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return SentencesFile(path)


def refused(folder: Path, name: str, content: str, encoding: str = "utf-8") -> list[str]:
    with pytest.raises(DataError) as error:
        written(folder, name, content, encoding)
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["s.csv", "s.tsv", "s.txt"])
def test_any_spreadsheet_s_separator_and_byte_order_mark(
    tmp_path: Path, separator: str, encoding: str, name: str
) -> None:
    file = written(tmp_path, name, table(separator), encoding)
    assert {image: file.of(image) for image in READ} == READ
    assert not list(file.unused())


def test_a_line_break_in_a_sentence_and_empty_rows_and_other_columns_do_no_harm(tmp_path: Path) -> None:
    content = '\nSentence ; note;OBJECT;image\nmy\u2028cup;;cup;a.jpg\n;;;\n\n"two\nlines";x;cup;a.jpg\n'
    assert written(tmp_path, "s.csv", content).of("a.jpg") == {"cup": ["my\u2028cup", "two\nlines"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    file = written(tmp_path, "s.json", '{"a\\\\b.jpg": {"cup": "my café cup"}}', encoding)
    assert file.of("a/b.jpg") == {"cup": ["my café cup"]}


def test_another_encoding_is_told_with_the_remedy(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "s.csv", table(";"), "cp1252")
    assert "s.csv" in problem and "is not UTF-8 (byte " in problem and "0xe9" in problem
    assert "'CSV UTF-8'" in problem


def test_every_bad_line_is_told_at_once(tmp_path: Path) -> None:
    content = "image,object,sentence\na.jpg,cup,the red cup, left\na.jpg,,lost\na.jpg,cup\nb.jpg,cup,good\n"
    more, no_object, no_sentence = refused(tmp_path, "s.csv", content)
    assert "line 2" in more and "double quotes" in more
    assert "line 3" in no_object and "no object" in no_object
    assert "line 4" in no_sentence and "no sentence" in no_sentence


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("s.csv", "picture,object,sentence\n", "no column 'image'"),
        ("s.csv", "", "no column 'image', 'object' or 'sentence'"),
        ("s.json", "[1]", "Expected `object`"),
        ("s.json", "{", "truncated"),
    ],
)
def test_a_file_of_another_form_is_told_with_the_form(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    (problem,) = refused(tmp_path, name, content)
    assert told in problem and "image, object, sentence" in problem
