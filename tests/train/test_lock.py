"""One run at a time in a run folder; where the file system has no locks, the run says so and goes on."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import toy

from seem_train.errors import UserError
from seem_train.training import trainer
from seem_train.training.lock import locked


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy.register_micro()
    return toy.toy_dataset(tmp_path_factory.mktemp("data") / "kitchen")


def test_the_second_run_in_a_folder_is_told_who_has_it_and_a_dead_one_holds_nothing(
    dataset: Path, tmp_path: Path
) -> None:
    holder = (
        "import sys, pathlib\nfrom seem_train.training.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", holder, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"process {other.pid} on .* trains there since .* --out"):
            trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=2))
        assert trainer.run(toy.settings(dataset, tmp_path / "another", run__steps=2)).finished
        other.kill()
    with locked(tmp_path / "run") as remark:
        assert remark == ""
        with pytest.raises(UserError, match="very process"), locked(tmp_path / "run"):
            raise AssertionError
    assert trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=2)).finished


def _refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As an NFS mount without a lock daemon answers; there is none to be had in a test."""

    def lockf(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", lockf)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_told_and_the_run_goes_on(
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    _refuse(monkeypatch, number)
    assert trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=1)).finished
    told = f"! {tmp_path / 'run'} lies on a file system without locks ({os.strerror(number)}): see to it"
    assert told in capsys.readouterr().out
    assert told in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES])
def test_a_lock_that_is_held_is_told_by_either_of_the_numbers_that_posix_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    _refuse(monkeypatch, number)
    with pytest.raises(UserError, match="another process trains there; wait for it"), locked(tmp_path):
        raise AssertionError
