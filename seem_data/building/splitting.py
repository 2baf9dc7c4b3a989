"""The images of a build find their splits: before they are built where names decide, else after."""

from __future__ import annotations

import re

from seem_data.building.job import Job
from seem_data.building.journal import Journal
from seem_data.building.options import Options
from seem_data.problems import Problem
from seem_data.splits import assign as splits
from seem_data.splits.plan import Plan


def member(job: Job, journal: Journal) -> splits.Member:
    """An image as the splits see it."""
    entry = journal.get(job.main.name)
    present = entry.categories if entry else frozenset()
    return splits.Member(job.main.name, present, job.main.split)


def by_name(
    jobs: list[Job], plan: Plan, options: Options, problems: list[Problem]
) -> dict[int, str | None] | None:
    """The split of every image where the plan does not depend on what is in it, so that images that no list
    names need not be built."""
    if not (plan.lists or plan.folders):
        return None
    members = [splits.Member(job.main.name, split=job.main.split) for job in jobs]
    return _assign(jobs, members, plan, options, problems)


def by_content(
    jobs: list[Job], journal: Journal, plan: Plan, options: Options, problems: list[Problem]
) -> dict[int, str | None]:
    """The split of every image, None for those that get none; what is in each is known by now."""
    return _assign(jobs, [member(job, journal) for job in jobs], plan, options, problems)


def _assign(
    jobs: list[Job],
    members: list[splits.Member],
    plan: Plan,
    options: Options,
    problems: list[Problem],
) -> dict[int, str | None]:
    group_by = re.compile(options.group_by) if options.group_by else None
    chosen = splits.assign(members, plan, group_by, options.seed, problems)
    return {job.position: split for job, split in zip(jobs, chosen, strict=True)}
