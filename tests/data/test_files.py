"""Files appear whole or not at all, and what cannot be written is told with a remedy."""

from __future__ import annotations

import errno
import os
import pickle
import stat
from pathlib import Path

import pytest

from seem_data.common import files
from seem_data.files import OutputError, atomic_file, copy, link_or_copy, write_atomically


@pytest.mark.parametrize("synced", [True, False])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, synced: bool) -> None:
    write_atomically(tmp_path / "a", b"old", synced=synced)
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "a", synced=synced) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_file_that_a_library_cannot_finish_is_as_it_was_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    files.write_text(file, "old")
    with pytest.raises(ValueError, match="halfway"), files.atomic_path(file) as new:
        assert new.suffix == ".txt", "some libraries tell the format by it"
        new.write_text("ne")
        raise ValueError("halfway")
    assert file.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_gets_its_name_when_the_disk_holds_it_and_the_disk_learns_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(handle: int) -> None:
        size = os.fstat(handle).st_size
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{size} bytes")
        real_sync(handle)

    def replace(old: str, new: Path) -> None:
        steps.append("name")
        real_replace(old, new)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    files.write_bytes(tmp_path / "new" / "a", b"12345")
    with files.atomic_path(tmp_path / "b") as new:
        new.write_bytes(b"123")
    assert steps == ["5 bytes", "name", "folder", "3 bytes", "name", "folder"]
    write_atomically(tmp_path / "c", b"1", synced=False)
    assert steps[6:] == ["name"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "output-failed"),
    ],
)
def test_what_cannot_be_written_has_a_code_and_a_remedy(number: int, code: str) -> None:
    error = OutputError.of(OSError(number, os.strerror(number)), Path("out/a"))
    (problem,) = error.problems
    assert problem.code == code and problem.remedy and os.strerror(number) in problem.message
    assert pickle.loads(pickle.dumps(error)).problems == error.problems, "workers send it home"


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomically(tmp_path / "a", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_photo_is_linked_also_through_a_symbolic_link_and_again(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(b"x")
    (tmp_path / "link").symlink_to("photo")
    for _ in range(2):
        link_or_copy(tmp_path / "link", tmp_path / "placed")
        assert (tmp_path / "placed").samefile(tmp_path / "photo")
        assert not (tmp_path / "placed").is_symlink()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_photo_is_copied_where_links_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (tmp_path / "photo").write_bytes(b"x")
    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(tmp_path / "photo", tmp_path / "placed")
    assert (tmp_path / "placed").read_bytes() == b"x"
    assert not (tmp_path / "placed").samefile(tmp_path / "photo")


def test_a_copy_is_a_file_of_its_own(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"old")
    copy(source, tmp_path / "b")
    source.write_bytes(b"new")
    assert (tmp_path / "b").read_bytes() == b"old"
    with pytest.raises(FileNotFoundError):
        copy(tmp_path / "nowhere", tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
