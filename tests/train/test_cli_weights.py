"""`seem-train models` and `seem-train weights …`, with a server on this machine in place of the real one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from hub_server import Server
from typer.testing import CliRunner, Result

from seem_train.cli.app import app
from seem_train.errors import UserError
from seem_train.model.seem import SEEM
from seem_train.weights import checkpoints, presets, tensor_files
from seem_train.weights.checkpoints import OfficialCheckpoint, download
from seem_train.weights.official import official_state_dict
from seem_train.weights.presets import PRESETS
from seem_train.weights.tensor_files import read_tensors

BODY = bytes(range(256)) * 20_000  # 5 MB
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(hub_server: Server) -> Server:
    hub_server.files = {"/some/models/resolve/main/file.pt": BODY}
    return hub_server


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "kept"
    monkeypatch.setenv("SEEM_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.pt"
    torch.save(official_state_dict(SEEM(PRESETS["tiny"].config)), path)
    return path


# ── models ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def three_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {name: PRESETS[name] for name in ("focal-l", "davit-d3", "tiny")}
    monkeypatch.setattr(presets, "PRESETS", chosen)


@pytest.mark.usefixtures("three_presets")
def test_models_lists_the_presets_with_their_numbers() -> None:
    rows = {row["name"]: row for row in json.loads(run("models", "--json").stdout)}
    assert list(rows) == ["focal-l", "davit-d3", "tiny"]
    large = rows["focal-l"]
    assert large["parameters"] == {
        "backbone": 205_746_936,
        "pixel decoder": 32_193_536,
        "decoder": 39_812_608,
        "text encoder": 63_428_097,
        "total": 341_181_177,
    }
    assert (large["checkpoint"], large["bytes"]) == ("seem_focall_v1.pt", 1_365_136_278)
    assert rows["davit-d3"]["checkpoint"] is None


@pytest.mark.usefixtures("three_presets")
def test_models_prints_a_table_that_fits_a_terminal() -> None:
    table = run("models").stdout
    assert re.search(r"focal-l +205.7 +32.2 +39.8 +63.4 +341.2 +602 +seem_focall_v1.pt +1365\n", table)
    assert re.search(r"davit-d3 .* 395 +none\s*\n", table)
    assert max(map(len, table.splitlines())) <= 80


# ── list and get ───────────────────────────────────────────────────────────────────────────────────


def test_list_says_what_is_here(kept: Path) -> None:
    kept.mkdir()
    (kept / "seem_focalt_v1.pt").touch()
    listed = json.loads(run("weights", "list", "--json").stdout)
    assert listed["folder"] == str(kept)
    assert [f["file"] for f in listed["files"] if f["here"]] == ["seem_focalt_v1.pt"]
    text = run("weights", "list").stdout
    assert re.search(r"seem_focall_v1\.pt +focal-l +1\.37 GB +not here", text)
    assert "https://huggingface.co/xdecoder/SEEM/resolve/main/seem_focall_v1.pt" in text
    assert "AFL-3.0" in text


def official(sha256: str = DIGEST, repository: str = "some/models") -> OfficialCheckpoint:
    return OfficialCheckpoint("file.pt", "tiny", len(BODY), sha256, repository)


def test_get_puts_the_file_into_the_weights_folder(
    server: Server, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"file.pt": official()})
    for name in ("file.pt", "tiny"):  # by its name, by its model; the second time it is there
        result = run("weights", "get", name)
        assert result.exit_code == 0, result.output
        assert result.stdout.strip().endswith(str(kept / "file.pt"))
    assert (kept / "file.pt").read_bytes() == BODY
    assert server.asked == [None]
    assert [p.name for p in kept.iterdir()] == ["file.pt"]


def test_progress_reaches_the_whole(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    download(official(), tmp_path, lambda *step: steps.append(step))
    assert steps[-1] == (len(BODY), len(BODY))
    assert len(steps) > 2
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert server.asked == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.cut, server.ranges = 2_000_000, ranges
    with pytest.raises(UserError, match=r"broke off after [\d,]+ of 5,120,000 bytes.*again to continue"):
        download(official(), tmp_path)
    part = tmp_path / "file.pt.part"
    got = part.stat().st_size
    assert 0 < got <= 2_000_000 and not (tmp_path / "file.pt").exists()
    server.cut, server.down = None, False
    server.asked.clear()
    assert download(official(), tmp_path).read_bytes() == BODY
    assert server.asked == [f"bytes={got}-"]
    assert not part.exists()


def test_a_finished_part_is_only_checked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.pt.part").write_bytes(BODY)
    assert download(official(), tmp_path).read_bytes() == BODY
    assert server.asked == []


def test_a_part_that_is_too_long_is_begun_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.pt.part").write_bytes(BODY + b"more")
    assert download(official(), tmp_path).read_bytes() == BODY
    assert server.asked == [None]


def test_what_has_another_checksum_is_deleted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has another SHA-256; it was deleted"):
        download(official(sha256="0" * 64), tmp_path)
    assert server.asked == [None]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [BODY, BODY[:-1], BODY[::-1]])
def test_what_the_shared_cache_holds_is_copied_where_it_is_right(
    server: Server, hub: Path, tmp_path: Path, content: bytes
) -> None:
    commit = hub / "models--some--models" / "snapshots" / ("0" * 40)
    commit.mkdir(parents=True)
    (commit / "file.pt").write_bytes(content)
    (commit.parents[1] / "refs").mkdir()
    (commit.parents[1] / "refs" / "main").write_text("0" * 40)
    assert download(official(), tmp_path).read_bytes() == BODY
    assert server.asked == ([] if content == BODY else [None])
    assert (commit / "file.pt").read_bytes() == content


@pytest.mark.usefixtures("hub")
def test_without_a_network_it_says_which_file_goes_where(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"file.pt": official()})
    assert_by_hand("refused", kept)


def test_what_the_hub_does_not_have_is_fetched_by_hand(
    server: Server, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"file.pt": official(repository="some/others")})
    assert_by_hand("the server answered 404", kept, "some/others")
    assert server.asked == [], "what is not there is not asked for"


def assert_by_hand(why: str, kept: Path, repository: str = "some/models") -> None:
    result = run("weights", "get", "tiny")
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert why in message
    url = f"https://huggingface.co/{repository}/resolve/main/file.pt"
    assert f"fetch {url} on another machine and place it at {kept / 'file.pt'}" in message
    assert "--weights PATH" in message


def test_get_of_an_unknown_name_lists_the_known_ones() -> None:
    result = run("weights", "get", "davit-d3")
    assert result.exit_code == 2
    assert "no official checkpoint is known for 'davit-d3'" in result.stderr
    assert "seem_focall_v1.pt (focal-l)" in result.stderr


# ── inspect, convert, verify ───────────────────────────────────────────────────────────────────────


def test_inspect_identifies_and_reports_in_few_lines(saved: Path) -> None:
    result = run("weights", "inspect", saved)
    assert result.exit_code == 0
    assert "model: tiny" in result.stdout
    assert re.search(r"matched +\d+", result.stdout)
    assert "criterion.empty_weight: class weights of the loss" in result.stdout
    assert len(result.stdout.splitlines()) < 25
    facts = json.loads(run("weights", "inspect", saved, "--json").stdout)
    assert facts["model"] == "tiny" and facts["fits"]
    assert facts["report"]["matched"] == facts["tensors"] - 2


def test_inspect_of_a_damaged_state_shows_a_few_of_the_names(saved: Path) -> None:
    state = torch.load(saved, weights_only=True)
    kept = {
        name: tensor for name, tensor in state.items() if not name.startswith("sem_seg_head.pixel_decoder")
    }
    kept["surprise"] = torch.zeros(3)
    torch.save(kept, saved)
    result = run("weights", "inspect", saved)
    assert result.exit_code == 0
    assert re.search(rf"missing +{len(state) - len(kept) + 1} ", result.stdout)
    assert re.search(r"unexpected +1 +surprise", result.stdout)
    assert len(result.stdout.splitlines()) < 30
    assert json.loads(run("weights", "inspect", saved, "--json").stdout)["fits"] is False


def test_inspect_of_something_else(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "w.pt")
    result = run("weights", "inspect", tmp_path / "w.pt")
    assert result.exit_code == 0 and "model: none of ours" in result.stdout
    assert json.loads(run("weights", "inspect", tmp_path / "w.pt", "--json").stdout)["model"] is None


def test_weights_beside_their_configuration_are_compared_with_it(shared_parity: Path) -> None:
    folder = shared_parity / "tiny_v1"
    facts = json.loads(run("weights", "inspect", folder / "weights.safetensors", "--json").stdout)
    assert facts["model"] == f"that of {folder / 'config.json'}"
    assert facts["fits"]
    assert facts["report"] == {
        "matched": 286,
        "missing": 0,
        "unexpected": 0,
        "other shape": 0,
        "resized": 0,
        "ignored": 2,
    }


def test_a_full_size_file_may_be_v0_as_well(tmp_path: Path) -> None:
    with torch.device("meta"):
        state = official_state_dict(SEEM(PRESETS["focal-t"].config))
    hollow = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}
    torch.save(hollow, tmp_path / "w.pt")
    assert "model: focal-t (or focal-t-v0" in run("weights", "inspect", tmp_path / "w.pt").stdout


def test_convert_there_and_back_gives_every_bit(saved: Path, tmp_path: Path) -> None:
    safe, back = tmp_path / "tiny.safetensors", tmp_path / "back.pt"
    for source, target in ((saved, safe), (safe, back)):
        result = run("weights", "convert", source, target)
        assert result.exit_code == 0, result.output
        assert hashlib.sha256(target.read_bytes()).hexdigest() in result.stdout
    before, after = torch.load(saved, weights_only=True), torch.load(back, weights_only=True)
    assert before.keys() == after.keys() == read_tensors(safe).keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_convert_does_not_replace_unasked(saved: Path) -> None:
    result = run("weights", "convert", saved, saved)
    assert result.exit_code == 2 and "add --overwrite" in result.stderr
    assert run("weights", "convert", saved, saved, "--overwrite").exit_code == 0
    assert "model tiny" in run("weights", "convert", saved, saved, "--overwrite").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
def test_convert_onto_a_full_disk_says_so(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new.pt"
    full = contextlib.nullcontext(Path("/dev/full"))
    monkeypatch.setattr(tensor_files, "atomic_path", lambda _: full)
    result = run("weights", "convert", saved, out)
    assert result.exit_code == 2
    assert result.stderr == f"error: {out} cannot be written: No space left on device\n"
    assert [p.name for p in tmp_path.iterdir() if p != saved] == []


def test_verify_accepts_a_complete_file_and_shows_its_checksum(saved: Path) -> None:
    result = run("weights", "verify", saved)
    assert result.exit_code == 0
    assert hashlib.sha256(saved.read_bytes()).hexdigest() in result.stdout
    assert "not an official file by its checksum" in result.stdout


def test_verify_knows_an_official_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    official = OfficialCheckpoint("tiny.pt", "tiny", saved.stat().st_size, digest)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"tiny.pt": official})
    assert "the official tiny.pt" in run("weights", "verify", saved).stdout
    other = OfficialCheckpoint("tiny.pt", "tiny", saved.stat().st_size, "0" * 64)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"tiny.pt": other})
    result = run("weights", "verify", saved)
    assert result.exit_code == 2 and "has not the checksum of the official" in result.stderr


@pytest.mark.parametrize("fault", ["missing", "nan", "foreign"])
def test_verify_refuses(saved: Path, fault: str) -> None:
    state = torch.load(saved, weights_only=True)
    if fault == "missing":
        del state["backbone.norm0.weight"]
    elif fault == "nan":
        state["backbone.norm0.weight"][0] = float("nan")
    else:
        state = {"weight": torch.zeros(1)}
    torch.save(state, saved)
    result = run("weights", "verify", saved)
    assert result.exit_code == 2
    says = {
        "missing": "is nearly tiny, but not all of it: .*missing: 1 \\(backbone.norm0.weight\\)",
        "nan": "1 tensors hold NaN or infinity, the first is backbone.norm0.weight",
        "foreign": "are not those of a SEEM checkpoint",
    }
    assert re.search(says[fault], result.stderr)


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_missing_file_is_one_line_and_exit_code_2(command: str, kept: Path) -> None:
    result = run("weights", command, "nowhere.pt")
    assert result.exit_code == 2
    assert result.stderr == "error: weights file nowhere.pt does not exist\n"
    result = run("weights", command, "seem_focall_v1.pt")
    assert f"seem-train weights get seem_focall_v1.pt, or place it in {kept}" in result.stderr
