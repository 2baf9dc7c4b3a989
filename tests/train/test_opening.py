"""What training writes opens again, whatever it was started from; what is damaged says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import toy
from safetensors.torch import load_file, save_file
from torch import Tensor

from seem_data.common.files import sha256_file
from seem_train import load_model
from seem_train.adapters.freezing import apply, placement
from seem_train.adapters.layers import Placement
from seem_train.adapters.strategies import STRATEGIES, find
from seem_train.errors import UserError
from seem_train.model.card import Base, Card
from seem_train.model.seem import SEEM
from seem_train.settings import resolve
from seem_train.training import run_folder, starts, trainer
from seem_train.weights import adapter_folder, choice
from seem_train.weights.adapter_folder import CARD, TENSORS
from seem_train.weights.choice import choose_weights
from seem_train.weights.official import official_state_dict
from seem_train.weights.opening import open_base, open_model, open_start
from seem_train.weights.tensor_files import write_tensors

pytestmark = pytest.mark.usefixtures("micro")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("base") / "base.safetensors"
    write_tensors(file, official_state_dict(toy.micro()))
    return file


def tuned(start: Path, folder: Path, name: str, rank: int = 4, seed: int = 1) -> SEEM:
    """A run folder as training with that strategy writes it, and the model that was written."""
    source = open_start(None if start.is_dir() else "micro", str(start), 0)
    strategy = find(name)
    where = placement(strategy, rank)
    declared = apply(source.model, strategy, where)
    parameters = dict(source.model.named_parameters())
    torch.manual_seed(seed)
    with torch.no_grad():
        for each in declared:
            parameters[each].add_(0.05 * torch.randn(parameters[each].shape))
    trained = {each: parameters[each] for each in declared}
    assert source.base is not None
    count = sum(p.numel() for p in trained.values())
    card = Card("micro", name, where, source.base, parameters=count, preprocessing={"eval_size": 48})
    adapter_folder.write(folder / "best", trained, card)
    return source.model.eval()


def answers(model: SEEM) -> list[Tensor]:
    with torch.no_grad():
        return toy.outputs(toy.answer(model))


def assert_same(one: SEEM, other: SEEM) -> None:
    assert all(torch.equal(a, b) for a, b in zip(answers(one), answers(other), strict=True))


@pytest.mark.parametrize("first", STRATEGIES)
def test_what_any_strategy_made_of_what_another_learned_opens(first: str, base: Path, tmp_path: Path) -> None:
    tuned(base, tmp_path / "first", first)
    before = answers(load_model(tmp_path / "first"))
    for second in STRATEGIES:
        folder = tmp_path / second
        written = tuned(tmp_path / "first", folder, second, seed=2)
        opened = load_model(folder)
        assert_same(opened, written)
        assert any(not torch.equal(a, b) for a, b in zip(answers(opened), before, strict=True))


def test_a_run_goes_on_from_what_another_learned_to_the_bit(base: Path, tmp_path: Path) -> None:
    for name in STRATEGIES:
        learned = tuned(base, tmp_path / name, name)
        source = open_start(None, str(tmp_path / name), 0)
        apply(source.model, find("head-adapter"), placement(find("head-adapter"), 4))
        learned_answers, now = answers(learned), answers(source.model.eval())
        for a, b in zip(learned_answers, now, strict=True):  # LoRA is folded: the last bits may differ
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_model_named_beside_a_run_must_be_the_runs(base: Path, tmp_path: Path) -> None:
    """A configuration file names its model; `--weights runs/old` beside it is no contradiction."""
    tuned(base, tmp_path / "run", "head-adapter")
    assert open_start("micro", str(tmp_path / "run"), 0).preset == "micro"
    with pytest.raises(UserError, match=r"--model focal-t: .*run holds micro; leave them out, or start anew"):
        open_start("focal-t", str(tmp_path / "run"), 0)
    with pytest.raises(UserError, match=r"--model micro and model.trunk resnet10t: .*run holds micro"):
        open_start("micro", str(tmp_path / "run"), 0, "resnet10t")


@pytest.mark.slow
@pytest.mark.parametrize("first", STRATEGIES)
def test_real_runs_start_from_runs_of_every_strategy(first: str, tmp_path: Path) -> None:
    dataset = toy.toy_dataset(tmp_path / "kitchen")
    run = trainer.run(toy.settings(dataset, tmp_path / "first", strategy__name=first, run__steps=2))
    for second in STRATEGIES:
        changes = {"model__weights": str(run.folder), "model__preset": None, "strategy__name": second}
        again = trainer.run(toy.settings(dataset, tmp_path / second, run__steps=2, **changes))
        assert again.finished
        load_model(again.folder)
        load_model(again.folder / "last")
        open_base(open_model(str(again.folder)))


def test_bottlenecks_of_another_rank_are_told_with_the_remedy(base: Path, tmp_path: Path) -> None:
    tuned(base, tmp_path / "run", "head-adapter", rank=4)
    with pytest.raises(UserError, match=r"--rank 8: .* bottleneck adapters of rank 4; .* --rank 4"):
        tuned(tmp_path / "run", tmp_path / "other", "head-adapter", rank=8)
    tuned(tmp_path / "run", tmp_path / "other", "head-adapter", rank=4)


# ── damage ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["head-adapter", "lora", "head", "full"])
def test_half_an_adapter_file_is_refused(name: str, base: Path, tmp_path: Path) -> None:
    tuned(base, tmp_path, name)
    file = tmp_path / "best" / TENSORS
    tensors = load_file(file)
    save_file({n: tensors[n].clone() for n in list(tensors)[: len(tensors) // 2]}, file)
    with pytest.raises(UserError, match=r"adapter\.safetensors: holds [\d,]+ of [\d,]+ trained values.*copy"):
        load_model(tmp_path)


def test_half_a_file_of_adapters_is_refused_though_its_card_counts_nothing(
    base: Path, tmp_path: Path
) -> None:
    tuned(base, tmp_path, "lora")
    card = json.loads((tmp_path / "best" / CARD).read_text())
    (tmp_path / "best" / CARD).write_text(json.dumps(card | {"parameters": 0}))
    load_model(tmp_path)
    file = tmp_path / "best" / TENSORS
    tensors = load_file(file)
    first = sorted(tensors)[0]
    save_file({n: t.clone() for n, t in tensors.items() if n != first}, file)
    with pytest.raises(UserError, match=rf"is not whole \(1 tensors are missing, first {first}\)"):
        load_model(tmp_path)


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, 0.99])
def test_a_truncated_adapter_file_is_one_sentence(keep: float, base: Path, tmp_path: Path) -> None:
    tuned(base, tmp_path, "head-adapter")
    file = tmp_path / "best" / TENSORS
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(UserError, match=r"adapter\.safetensors") as caught:
        load_model(tmp_path)
    assert "weights get" not in str(caught.value), "nobody can download it"


@pytest.mark.parametrize("named", [".", "", "..", "../best", "./", "x" * 5000])
def test_a_folder_cannot_stand_on_itself(named: str, base: Path, tmp_path: Path) -> None:
    tuned(base, tmp_path, "head-adapter")
    _rebase(tmp_path / "best", named, sha256_file(tmp_path / "best" / TENSORS))
    with pytest.raises(UserError, match=r"base weights|holds no weights"):
        load_model(tmp_path)


def test_two_folders_cannot_stand_on_each_other(base: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    tuned(base, one, "head-adapter")
    tuned(base, two, "head-adapter")
    _rebase(one / "best", str(two), sha256_file(two / "best" / TENSORS))
    _rebase(two / "best", str(one), sha256_file(one / "best" / TENSORS))
    with pytest.raises(UserError, match="stand on this folder itself"):
        load_model(one)


def _rebase(folder: Path, path: str, sha256: str) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | {"base": {"path": path, "sha256": sha256}}))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 3}', "[" * 100_000, "\x00", '{"format": 2}'])
def test_a_damaged_card_is_one_sentence(text: str, base: Path, tmp_path: Path) -> None:
    tuned(base, tmp_path, "lora")
    (tmp_path / "best" / CARD).write_text(text)
    with pytest.raises(UserError, match=r"adapter\.json: is not a description"):
        load_model(tmp_path)


# ── where base weights are ─────────────────────────────────────────────────────────────────────────


def test_a_base_that_has_moved_is_found_beside_its_card_or_where_it_is_named(
    base: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "there" / "base of old.safetensors"
    weights.parent.mkdir()
    shutil.copy(base, weights)
    model = tuned(weights, tmp_path / "run", "head-adapter")
    moved = weights.rename(tmp_path / "elsewhere.safetensors")
    with pytest.raises(UserError, match=r"are not there; put the file .* beside adapter\.json"):
        load_model(tmp_path / "run")
    assert_same(load_model(tmp_path / "run", base=moved), model)
    shutil.copy(moved, tmp_path / "run" / "best" / "base of old.safetensors")
    assert_same(load_model(tmp_path / "run"), model)


def test_a_named_base_is_checked_and_goes_with_adapters_only(base: Path, tmp_path: Path) -> None:
    tuned(base, tmp_path / "run", "lora")
    other = tmp_path / "other.safetensors"
    write_tensors(other, official_state_dict(toy.micro(seed=5)))
    with pytest.raises(UserError, match="is not what these adapters were trained on"):
        load_model(tmp_path / "run", base=other)
    with pytest.raises(UserError, match="goes with an adapter folder"):
        load_model("micro", base=base)


def test_the_latest_weights_of_a_run_open_and_are_checked(tmp_path: Path) -> None:
    dataset = toy.toy_dataset(tmp_path / "kitchen")
    run = trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=3, run__zero_shot=True))
    last = run.folder / "last"
    model = load_model(last)
    saved = load_file(last / "model.safetensors")
    assert all(torch.equal(dict(model.named_parameters())[name], t) for name, t in saved.items())
    assert open_model(str(last)).size == open_model(str(run.folder)).size
    save_file({name: t + 1 for name, t in saved.items()}, last / "model.safetensors")
    with pytest.raises(UserError, match=r"model\.safetensors: is damaged"):
        load_model(last)
    shutil.rmtree(run.best)
    for place in (last, run.folder):
        with pytest.raises(UserError, match="has no best/ yet"):
            load_model(place)


# ── weights when none are given ────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SEEM_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setitem(choice.SHIPPED, "seem-tiny", tmp_path / "seem-tiny.safetensors")
    (tmp_path / "weights").mkdir()
    yield tmp_path / "weights"


def test_without_any_weights_the_small_model_is_trained_whole_and_says_why(folder: Path) -> None:
    chosen = choose_weights(None, None)
    assert (chosen.preset, chosen.weights, chosen.whole) == ("tiny+tf_efficientnet_lite0", "random", True)
    assert str(folder) in chosen.why and "seem-train weights get focal-l" in chosen.why
    assert "\n" not in chosen.why
    assert choose_weights("tiny", None) == chosen


def test_a_run_without_weights_is_named_after_what_is_trained(folder: Path) -> None:
    named = {
        str(run_folder.choose(resolve(None, ["data.dataset=kitchen", *more])).folder)
        for more in ([], ["model.trunk=resnet10t"])
    }
    assert named == {"runs/kitchen-full"}
    (folder / "seem_focalt_v1.pt").touch()
    assert (
        str(run_folder.choose(resolve(None, ["data.dataset=kitchen"])).folder) == "runs/kitchen-head-adapter"
    )


def test_a_start_from_nothing_has_other_defaults_beneath_what_the_user_says(folder: Path) -> None:
    config = resolve(None, ["optim.lr=5e-4"], {"data.dataset": "kitchen"}, starts.beneath)
    assert (config.data.size, config.optim.lr, config.strategy.unfreeze) == (256, 5e-4, ("language",))
    assert config.optim.backbone_lr == 0.3
    said = starts.said(config, whole=True, weights="")
    assert said is not None and "size 256" in said and "unfreeze language" in said
    assert "lr 0." not in said.replace("backbone_lr", "")  # which the user has set
    assert resolve(None, [], {"model.weights": "runs/old"}, starts.beneath).data.size == 512
    (folder / "seem_focalt_v1.pt").touch()
    assert resolve(None, [], {"data.dataset": "kitchen"}, starts.beneath) == resolve(
        None, [], {"data.dataset": "kitchen"}
    )


def test_a_start_from_the_small_model_has_its_defaults(folder: Path) -> None:  # noqa: ARG001
    shipped = choice.SHIPPED["seem-tiny"]
    shipped.touch()
    config = resolve(None, [], {"data.dataset": "kitchen"}, starts.beneath)
    assert (config.data.size, config.optim.lr, config.strategy.unfreeze) == (256, 6e-3, ())
    assert config == resolve(
        None, [], {"data.dataset": "kitchen", "model.weights": None, "optim.lr": 6e-3}, starts.beneath
    )
    named = resolve(None, ["data.size=320"], {"model.weights": "seem-tiny"}, starts.beneath)
    assert (named.data.size, named.optim.lr) == (320, 6e-3)
    said = starts.said(config, whole=False, weights=str(shipped))
    assert said is not None and said.startswith(
        "defaults of a start from seem-tiny: size 256, min_scale 0.8, "
    )
    assert said.endswith("most_evaluations 10, steps 150, lr 0.006")
    changed = starts.said(named, whole=False, weights=str(shipped))
    assert changed == said.replace("size 256, ", "", 1), "what the user has set is none"
    assert starts.said(config, whole=False, weights="elsewhere.pt") is None
    unwise = starts.said(config, whole=False, weights="")
    assert unwise == "adapters on random weights learn little: --strategy full trains them all"
    whole = resolve(None, ["strategy.name=full"], {"data.dataset": "kitchen"}, starts.beneath)
    assert (whole.optim.lr, whole.optim.backbone_lr) == (5e-4, 0.3)
    longer = resolve(None, ["run.epochs=9"], {"data.dataset": "kitchen"}, starts.beneath)
    assert (longer.run.epochs, longer.run.steps) == (9, None)


def test_its_trunk_is_the_models_own_where_no_pretrained_one_is_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda _: None)
    chosen = choose_weights(None, None)
    assert str(folder) in chosen.why
    assert (chosen.preset, chosen.whole) == ("tiny", True)
    assert "whole, from random weights; better" in chosen.why


def test_a_trunk_of_timms_is_trained_with_all_that_stands_on_it() -> None:
    start = open_start("tiny", None, 0, "mobilenetv3_small_050", "random")
    assert (start.preset, start.whole) == ("tiny+mobilenetv3_small_050", True)
    assert not open_start("tiny", "random", 0, "mobilenetv3_small_050", "random").whole


def test_the_official_checkpoint_is_taken_where_there_is_one(folder: Path) -> None:
    (folder / "seem_focalt_v1.pt").touch()
    assert choose_weights(None, None).weights == str(folder / "seem_focalt_v1.pt")
    (folder / "seem_focall_v1.pt").touch()
    with pytest.raises(UserError, match="holds several checkpoints; choose one with --weights"):
        choose_weights(None, None)
    assert choose_weights("focal-l", None).weights == str(folder / "seem_focall_v1.pt")


def test_else_the_model_that_came_with_the_package(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did not come with this installation"):
        load_model("seem-tiny")
    model = toy.micro()
    write_tensors(tmp_path / "seem-tiny.safetensors", official_state_dict(model), {"model": "micro"})
    chosen = choose_weights(None, None)
    assert (chosen.weights, chosen.whole) == ("seem-tiny", False)
    assert "weights get focal-l" in chosen.why and str(folder) in chosen.why
    source = open_start(None, None, 0)
    assert source.preset == "micro" and source.base is not None and source.why == chosen.why
    assert_same(source.model, model)
    assert_same(load_model("seem-tiny"), model)
    assert_same(open_model("seem-tiny").model, model)


def test_a_model_whose_checkpoint_is_not_there_says_how_to_get_it(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no official checkpoint of focal-l\. get one with: seem-train"):
        choose_weights("focal-l", None)
    with pytest.raises(UserError, match=r"no official checkpoint of micro\. Name a file with --weights"):
        choose_weights("micro", None)
    with pytest.raises(UserError, match="--weights random needs --model"):
        choose_weights(None, "random")
    assert folder.is_dir()


def test_the_placement_of_a_card_is_that_of_the_names(base: Path, tmp_path: Path) -> None:
    tuned(base, tmp_path, "backbone-lora+lora")
    card = adapter_folder.read_card(tmp_path / "best")
    assert card.placement == Placement("lora", "lora", (3, 4), 4)
    assert isinstance(card.base, Base)
