"""Replays golden cases of the original through this model; what a case is of, its contents say.

One line for each case: tensors compared, the worst difference, its tolerance. Sizes, thresholds, draws and
loss weights come from the case files alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from seem_train.errors import UserError
from tests.parity import decoder, encoders, evaluation, training
from tests.parity.golden import Case, Comparison, case_folders, print_table


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 if all cases are equal, 1 on a miss, or where nothing could be replayed."""
    if not arguments:
        raise UserError("name one or more folders of golden cases")
    results, not_run = [], []
    for folder in arguments:
        for case_folder in case_folders(Path(folder)):
            case = Case.read(case_folder)
            replay = kind_of(case)
            if replay is None:
                not_run.append((case.name, "a kind of case that this command does not replay"))
            else:
                results.append(run(case, replay))
    print_table(results, not_run)
    return 0 if results and all(r.passed for r in results) else 1


def run(case: Case, replay: Callable[[Case, Comparison], tuple[str, ...]]) -> Comparison:
    """Replay one case. What goes wrong on the way is a miss of this case, and the others are still run."""
    result = Comparison(case)
    try:
        with torch.no_grad():
            inputs = replay(case, result)
    except (UserError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        result.faults.append(f"{type(error).__name__}: {error}")
    else:
        result.faults += [f"{name} was not compared" for name in result.uncompared(inputs)]
    return result


def kind_of(case: Case) -> Callable[[Case, Comparison], tuple[str, ...]] | None:
    """The function that replays a case, told from what the case holds; None for kinds not replayed here."""
    names, info = case.tensors.keys(), case.info

    def has(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    kinds: list[tuple[bool, Callable[[Case, Comparison], tuple[str, ...]]]] = [
        ("raw_losses" in info, training.replay_training),
        ("trunk" in info, encoders.replay_trunk),
        (has(r"\.patch_embed$"), encoders.replay_backbone),
        (has(r"\.transformer_encoder_features$"), encoders.replay_pixel_decoder),
        (case.lists_texts(), encoders.replay_text),
        ("matched_id" in names, decoder.replay_selection),
        (has(r"^refimg\."), decoder.replay_reference),
        ("demo" in str(info.get("model", "")), decoder.replay_demo),
        ("task" in info, decoder.replay_decoder),
        (has(r"\.sem_seg_argmax$"), evaluation.replay_evaluation),
        ("mask_cls" in names, evaluation.replay_postprocessing),
        ("gt_masks_orisize" in names, evaluation.replay_interaction),
        ("grounding_mask" in names, evaluation.replay_grounding),
        ("pos_in" in names, evaluation.replay_next_click),
        ("ious" in names, evaluation.replay_metrics),
    ]
    return next((replay for holds, replay in kinds if holds), None)
