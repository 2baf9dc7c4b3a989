"""A complete checkpoint exists at every moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import crashes
import pytest
import torch

from seem_data.common.files import sha256_file
from seem_train.errors import UserError
from seem_train.training import checkpoint
from seem_train.training.checkpoint import Progress, damage, find, load, restore_tensors, save


def write(folder: Path, value: float) -> None:
    state = {"progress": vars(Progress(step=int(value))), "optimizer": {"x": torch.tensor(value)}}
    save(folder, {"w": torch.full((3,), value)}, state, {"step": int(value)})


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    write(tmp_path / "last", 7)
    found = load(tmp_path / "last")
    assert torch.equal(found.tensors["w"], torch.full((3,), 7.0))
    assert found.progress == Progress(step=7)
    assert found.manifest["step"] == 7
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last"]


def test_a_new_checkpoint_takes_the_place_of_the_old(tmp_path: Path) -> None:
    for value in (1, 2, 3):
        write(tmp_path / "last", value)
    assert load(tmp_path / "last").progress.step == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last"]


def test_after_every_crash_and_every_failed_write_of_a_save_there_is_a_complete_checkpoint(
    tmp_path: Path,
) -> None:
    """One deep; the slow suite goes three deep."""
    tried = crashes.enumerate_crashes(tmp_path, depth=1)
    assert tried["killed"] > 20 and tried["full"] > 8


@pytest.mark.slow
def test_three_crashes_in_a_row_wherever_they_come_never_lose_a_completed_save(tmp_path: Path) -> None:
    tried = crashes.enumerate_crashes(tmp_path, depth=3)
    print(f"{tried} sequences of crashes, every one survived")
    assert tried["killed"] > 8000 and tried["full"] > 100


def test_between_the_renames_the_new_one_is_found(tmp_path: Path) -> None:
    write(tmp_path / "last", 1)
    (tmp_path / "last").rename(tmp_path / "last.old")
    assert find(tmp_path / "last") == tmp_path / "last.old"
    write(tmp_path / "other", 2)
    (tmp_path / "other").rename(tmp_path / "last.new")
    assert find(tmp_path / "last") == tmp_path / "last.new"


def _save_for_ever(folder: Path, going: Any) -> None:
    step = 0
    while True:
        step += 1
        tensors = {"w": torch.full((50_000,), float(step))}
        save(folder, tensors, {"progress": vars(Progress(step=step))}, {})
        if step == 3:
            going.set()


def test_kill_9_during_saves_leaves_a_complete_checkpoint(tmp_path: Path) -> None:
    forks = multiprocessing.get_context("fork")
    for delay in (0.0, 0.003, 0.007, 0.011, 0.02):
        going = forks.Event()
        process = forks.Process(target=_save_for_ever, args=(tmp_path / "last", going))
        process.start()
        assert going.wait(60)
        time.sleep(delay)
        process.kill()
        process.join()
        survivor = find(tmp_path / "last")
        assert survivor is not None
        found = load(survivor)
        assert found.progress.step >= 3
        assert torch.equal(found.tensors["w"], torch.full((50_000,), float(found.progress.step)))


def _save_on_a_full_disk(folder: Path, weights: int, state: int) -> None:
    """A limit on the size of files stands for the full disk: writing beyond it fails with an OSError."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        big = {"big": torch.zeros(state), "progress": vars(Progress(step=2))}
        save(folder, {"w": torch.zeros(weights)}, big, {})
    except OSError:
        os._exit(3)


@pytest.mark.parametrize(("weights", "state"), [(100_000, 1), (1, 100_000)])
def test_a_full_disk_leaves_the_last_checkpoint_as_it_was(tmp_path: Path, weights: int, state: int) -> None:
    write(tmp_path / "last", 1)
    forks = multiprocessing.get_context("fork")
    process = forks.Process(target=_save_on_a_full_disk, args=(tmp_path / "last", weights, state))
    process.start()
    process.join(60)
    assert process.exitcode == 3, "an OSError"
    assert load(tmp_path / "last").progress.step == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last"], "nothing half-written stays"


def test_damage_is_found_and_named(tmp_path: Path) -> None:
    write(tmp_path / "last", 1)
    file = tmp_path / "last" / checkpoint.MODEL
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "is damaged" in damage(tmp_path / "last")
    assert find(tmp_path / "last") is None
    with pytest.raises(UserError, match=r"model\.safetensors is damaged .* --resume never"):
        load(tmp_path / "last")
    file.unlink()
    assert "is missing" in damage(tmp_path / "last")
    assert "no readable manifest" in damage(tmp_path)


def test_a_state_with_code_in_it_is_not_opened(tmp_path: Path) -> None:
    write(tmp_path / "last", 1)

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("true",)

    torch.save({"progress": Evil()}, tmp_path / "last" / checkpoint.STATE)
    manifest = json.loads((tmp_path / "last" / checkpoint.MANIFEST).read_text())
    manifest["files"][checkpoint.STATE] = sha256_file(tmp_path / "last" / checkpoint.STATE)
    (tmp_path / "last" / checkpoint.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="does not hold what a checkpoint holds"):
        load(tmp_path / "last")


def test_tensors_of_another_strategy_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "last", 1)
    found = load(tmp_path / "last")
    parameters = {"w": torch.zeros(3)}
    restore_tensors(parameters, found)
    assert torch.equal(parameters["w"], torch.ones(3))
    with pytest.raises(UserError, match="other trainable tensors"):
        restore_tensors({"w": torch.zeros(3), "v": torch.zeros(1)}, found)
    with pytest.raises(UserError, match="other trainable tensors"):
        restore_tensors({"w": torch.zeros(4)}, found)
