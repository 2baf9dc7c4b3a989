"""Which image goes into train, val and test: by share, by list, by folder, or as the input says.

Shares are filled by `stratify`, which gives each split its share of every category. The outcome depends on
names, categories and the seed, never on the order of the input.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from seem_data.annotations import spellings
from seem_data.common.wording import a_few
from seem_data.problems import Problem, Spot
from seem_data.splits import stratify
from seem_data.splits.plan import SPLIT_NAME, SPLIT_SYNONYMS, Plan

DEFAULT_SHARES = {"train": 0.8, "val": 0.2}


@dataclass(frozen=True, slots=True)
class Member:
    """An image to be put into a split: its unique name, its categories, and what the input says."""

    name: str
    categories: frozenset[int] = frozenset()
    split: str | None = None


def assign(
    members: Sequence[Member],
    plan: Plan,
    group_by: re.Pattern[str] | None = None,
    seed: int = 0,
    problems: list[Problem] | None = None,
) -> list[str | None]:
    """The split of every member; None for those that lists or folders leave out.

    Args:
        group_by: images in whose names this finds the same text (its first group, else the whole match)
            stay together. An image in whose name it finds nothing is a group of its own.
        problems: gets what is left out or looks wrong.
    """
    problems = [] if problems is None else problems
    if plan.lists:
        chosen = _by_list(members, plan.lists, problems)
    elif plan.folders:
        chosen = _by_folder(members, problems)
    elif plan.shares:
        chosen = _by_share(members, plan.shares, _grouping(group_by), seed)
    else:
        chosen = _as_input_says(members, _grouping(group_by), seed, problems)
    if group_by is not None:
        _report_no_group(members, group_by, problems)
        _report_torn_groups(members, chosen, _grouping(group_by), problems)
    by_default = not (plan.shares or plan.lists or plan.folders or any(member.split for member in members))
    wanted = plan.shares or plan.lists or (DEFAULT_SHARES if by_default else ())
    _report_empty(members, chosen, wanted, problems)
    return chosen


def _grouping(pattern: re.Pattern[str] | None) -> Callable[[str], str]:
    def group(name: str) -> str:
        match = pattern.search(name) if pattern else None
        if match is None:
            return f"image {name}"
        return "group " + (match[1] or "" if match.re.groups else match[0])

    return group


def _by_list(
    members: Sequence[Member], lists: Mapping[str, frozenset[str]], problems: list[Problem]
) -> list[str | None]:
    chosen: list[str | None] = []
    used: dict[str, set[str]] = {split: set() for split in lists}
    for member in members:
        names = set(spellings(member.name))
        matches = {split: listed & names for split, listed in lists.items() if listed & names}
        chosen.append(next(iter(matches), None))
        for split, listed in matches.items():
            used[split] |= listed
        if len(matches) > 1:
            message = f"is in the lists of {' and '.join(matches)}; it goes into {chosen[-1]}."
            remedy = "Keep every image in one list."
            problems.append(Problem("in-two-splits", message, remedy, member.name, severity="warning"))
    for split, listed in lists.items():
        if lost := sorted(listed - used[split]):
            message = f"lists {len(lost)} name(s) that are no image of the input, first {lost[0]!r}."
            remedy = "Write names relative to the photos' folder."
            problems.append(Problem("listed-but-missing", message, remedy, where=f"--split {split}"))
    _report_left_out(members, chosen, "in no list", problems)
    return chosen


def _by_folder(members: Sequence[Member], problems: list[Problem]) -> list[str | None]:
    chosen = [member.split or folder_of(member.name) for member in members]
    _report_left_out(members, chosen, "in no folder of its own split", problems)
    return chosen


def folder_of(name: str) -> str | None:
    """The first folder of an image's path as the name of a split, e.g. ``"val"`` of ``"valid/a.jpg"``."""
    folder, slash, _ = name.partition("/")
    folder = SPLIT_SYNONYMS.get(folder.lower(), folder)
    return folder if slash and SPLIT_NAME.fullmatch(folder) else None


def _by_share(
    members: Sequence[Member], shares: Mapping[str, float], group: Callable[[str], str], seed: int
) -> list[str | None]:
    groups = [group(member.name) for member in members]
    return [*stratify.deal(groups, [member.categories for member in members], shares, seed)]


def _report_left_out(
    members: Sequence[Member], chosen: Sequence[str | None], why: str, problems: list[Problem]
) -> None:
    out = [member.name for member, split in zip(members, chosen, strict=True) if split is None]
    if out:
        message = f"leaves out {len(out)} image(s) that are {why}, first {out[0]}."
        remedy = "That is fine where you meant it."
        problems.append(Problem("in-no-split", message, remedy, where="--split", severity="warning"))


def _as_input_says(
    members: Sequence[Member], group: Callable[[str], str], seed: int, problems: list[Problem]
) -> list[str | None]:
    said = [SPLIT_SYNONYMS.get(member.split, member.split) if member.split else None for member in members]
    silent = [member for member, split in zip(members, said, strict=True) if split is None]
    if len(silent) == len(members):
        return _by_share(members, DEFAULT_SHARES, group, seed)
    if silent:
        count = f"{len(silent)} image(s), first {silent[0].name}"
        message = f"{count}, have no split where others do; they go into train."
        remedy = "Assign them in the input, or give --split."
        problems.append(Problem("in-no-split", message, remedy, where="--split auto", severity="warning"))
    return [split or "train" for split in said]


# What to tell


def _report_no_group(members: Sequence[Member], pattern: re.Pattern[str], problems: list[Problem]) -> None:
    if members and not any(pattern.search(member.name) for member in members):
        message = f"finds nothing in any image's name, e.g. {members[0].name!r}: no images stay together."
        remedy = "Mend the regular expression."
        problems.append(Problem("no-group", message, remedy, where="--group-by", severity="warning"))


def _report_torn_groups(
    members: Sequence[Member],
    chosen: Sequence[str | None],
    group: Callable[[str], str],
    problems: list[Problem],
) -> None:
    splits_of: dict[str, set[str]] = defaultdict(set)
    for member, split in zip(members, chosen, strict=True):
        if split is not None:
            splits_of[group(member.name)].add(split)
    torn = sorted(key for key, splits in splits_of.items() if len(splits) > 1)
    if torn:
        message = f"{len(torn)} group(s) lie in several splits, first {torn[0]!r}."
        remedy = "Lists and splits of the input are kept as they are; change them there."
        problems.append(Problem("torn-group", message, remedy, where="--group-by", severity="warning"))


def _report_empty(
    members: Sequence[Member], chosen: Sequence[str | None], wanted: Iterable[str], problems: list[Problem]
) -> None:
    present = set(chosen)
    for split in wanted:
        if split not in present and members:
            message = f"gets no image of the {len(members)}: they are too few, or of too few groups."
            remedy = "Add images, or leave the split out (--split train=1)."
            Spot(problems, where=f"--split {split}").tell("empty-split", message, remedy)


def absent_categories(
    members: Sequence[Member], chosen: Sequence[str | None], names: Mapping[int, str]
) -> list[Problem]:
    """One warning for each split that lacks categories which other splits have."""
    seen: dict[str, set[int]] = {}
    for member, split in zip(members, chosen, strict=True):
        if split is not None:
            seen.setdefault(split, set()).update(member.categories)
    everywhere = set().union(*seen.values()) if seen else set()
    problems: list[Problem] = []
    for split in sorted(seen):
        if missing := sorted(everywhere - seen[split]):
            message = f"has no {a_few([names[category] for category in missing])}."
            remedy = "Add images of them, or split otherwise (--split, --seed)."
            Spot(problems, where=f"split {split}").tell("absent-category", message, remedy)
    return problems
