"""Golden cases of the original are replayed; a difference, however it comes about, is a miss."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seem_train.errors import UserError
from seem_train.model.seem import SEEM
from seem_train.model.trunks.focal import FocalTrunk
from seem_train.weights.official import official_state_dict
from seem_train.weights.original_config import read_config
from tests.parity.compare import kind_of, main, run
from tests.parity.golden import Case, case_folders

GOLDEN = Path(__file__).parent / "golden"
SHARED_KINDS = ("a", "b", "c", "d", "e", "g", "h2", "h3", "h4")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden cases of the repository, with weights for all of the model (the trunk's are never used)."""
    folder = tmp_path_factory.mktemp("golden") / "cases"
    shutil.copytree(GOLDEN, folder)
    stored = load_file(folder / "tiny_v1" / "weights_without_backbone.safetensors")
    ids, rows = stored.pop("token_ids").long(), stored.pop("token_rows")
    full = official_state_dict(SEEM(read_config(folder / "tiny_v1" / "config.json")))
    full["sem_seg_head.predictor.lang_encoder.lang_encoder.token_embedding.weight"][ids] = rows.float()
    save_file({n: t.contiguous() for n, t in (full | stored).items()}, folder / "tiny_v1/weights.safetensors")
    return folder


@pytest.fixture
def stored_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trunk says what the original's said of the one image that the cases are about."""
    data = load_file(GOLDEN / "a_backbone" / "data.safetensors")
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    image = (data["image_96x128"] - mean[:, None, None]) / std[:, None, None]

    def forward(_: FocalTrunk, x: torch.Tensor) -> dict[str, torch.Tensor]:
        torch.testing.assert_close(x[0], image)
        return {name: data[f"96x128.{name}"] for name in ("res2", "res3", "res4", "res5")}

    monkeypatch.setattr(FocalTrunk, "forward", forward)


@pytest.mark.parametrize("name", ["c_text", "d4_all_prompts", "g1_demo_stroke"])
@pytest.mark.usefixtures("stored_features")
@pytest.mark.filterwarnings("ignore:a text has")
def test_cases_of_the_repository(golden: Path, name: str) -> None:
    case = Case.read(golden / name)
    replay = kind_of(case)
    assert replay is not None
    result = run(case, replay)
    assert result.passed, (result.faults, result.worst)
    assert len(result.deltas) >= 10


@pytest.mark.filterwarnings("ignore:a text has")
def test_every_shared_case(shared_parity: Path) -> None:
    replayed = []
    for folder in case_folders(shared_parity):
        case = Case.read(folder)
        if "raw_losses" in case.info:
            continue  # whole training steps: see test_losses_parity
        if (replay := kind_of(case)) is not None:
            result = run(case, replay)
            assert result.passed, (case.name, result.faults, result.worst)
            replayed.append(case.name)
        else:
            assert not case.name.startswith(SHARED_KINDS)
    assert {name.split("_")[0][: 2 if name[0] == "h" else 1] for name in replayed} == set(SHARED_KINDS)


def changed(golden: Path, new: Path, name: str, change: dict[str, torch.Tensor | None]) -> Path:
    """A copy of all cases, one of them under another name and with changed (or None: added) tensors."""
    shutil.copytree(golden, new)
    folder = (new / name).rename(new / f"{name}_other")
    data, info = load_file(folder / "data.safetensors"), json.loads((folder / "case.json").read_text())
    for key, value in change.items():
        data[key] = data[key] if value is None else value
        info["tensors"].setdefault(key, [list(data[key].shape), "float32"])
    save_file(data, folder / "data.safetensors")
    (folder / "case.json").write_text(json.dumps(info))
    return folder


@pytest.mark.usefixtures("stored_features")
def test_a_case_of_another_name_is_replayed_all_the_same(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(changed(golden, tmp_path / "new", "g1_demo_stroke", {}))]) == 0
    assert "equal" in capsys.readouterr().out


@pytest.mark.usefixtures("stored_features")
@pytest.mark.filterwarnings("ignore:a text has")
@pytest.mark.parametrize("name", ["c_text", "d4_all_prompts"])
def test_the_cases_that_a_case_leans_on_may_have_any_name(golden: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(golden, tmp_path / "new")
    for number, folder in enumerate(case_folders(tmp_path / "new")):
        folder.rename(folder.with_name(f"z{len(SHARED_KINDS) - number} {folder.name[::-1]}"))
    folder = next((tmp_path / "new").glob(f"z*{name[::-1]}"))
    assert main([str(folder)]) == 0


@pytest.mark.filterwarnings("ignore:a text has")
def test_a_golden_tensor_that_a_case_does_not_hold_is_not_compared(golden: Path, tmp_path: Path) -> None:
    shutil.copytree(golden, tmp_path / "new")
    folder = tmp_path / "new" / "c_text"
    info = json.loads((folder / "case.json").read_text())
    del info["tensors"]
    kept = {"class_emb": load_file(folder / "data.safetensors")["class_emb"]}
    save_file(kept, folder / "data.safetensors")
    (folder / "case.json").write_text(json.dumps(info))
    assert main([str(folder)]) == 0
    save_file({"class_emb": kept["class_emb"] + 1}, folder / "data.safetensors")
    assert main([str(folder)]) == 1


@pytest.mark.usefixtures("stored_features")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pred_masks": torch.zeros(1, 21, 24, 32)}, r"pred_masks: \|Δ\|"),
        ({"pred_masks": torch.zeros(1, 21, 24, 31)}, r"pred_masks is \[1, 21, 24, 32\], golden"),
        ({"pred_pspatials": torch.full((1, 1, 64), torch.nan)}, "not numbers"),
        (
            {"trace.cross_attn_mask.0": torch.ones(1, 21, 12).byte()},
            r"cross_attn_mask.0: \|Δ\| 1.00e\+00",
        ),
        ({"pred_surprise": torch.ones(1)}, "pred_surprise was not compared"),
    ],
)
def test_a_difference_is_a_miss(
    golden: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, torch.Tensor | None],
    message: str,
) -> None:
    assert main([str(changed(golden, tmp_path / "new", "g1_demo_stroke", change))]) == 1
    out = capsys.readouterr().out
    assert "MISS" in out
    assert re.search(message, out)


@pytest.mark.usefixtures("stored_features")
def test_a_case_that_cannot_be_replayed_is_a_miss_that_says_why(golden: Path, tmp_path: Path) -> None:
    folder = changed(golden, tmp_path / "new", "d4_all_prompts", {})
    info = json.loads((folder / "case.json").read_text())
    info["random_draws"] = info["random_draws"][:-1]
    (folder / "case.json").write_text(json.dumps(info))
    case = Case.read(folder)
    replay = kind_of(case)
    assert replay is not None
    (fault, *_) = run(case, replay).faults
    assert "is not in the recording" in fault


def test_a_kind_of_case_not_known_is_not_run_and_alone_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "z_new").mkdir()
    (tmp_path / "z_new" / "case.json").write_text('{"desc": "something else", "tensors": {}}')
    save_file({"x": torch.ones(1)}, tmp_path / "z_new" / "data.safetensors")
    assert main([str(tmp_path)]) == 1
    assert "not run" in capsys.readouterr().out


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no golden case"):
        main([str(tmp_path)])
