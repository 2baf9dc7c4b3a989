"""The images of a build find their splits: before they are built where names decide, else after."""

from __future__ import annotations

import re

from seem_data.building.job import Job
from seem_data.building.journal import Journal
from seem_data.building.order import ImageOrder
from seem_data.problems import Problem
from seem_data.splits import assign as splits


def member(job: Job, journal: Journal | None = None) -> splits.Member:
    """An image as the splits see it; the journal knows what is in it."""
    entry = journal.get(job.main.name) if journal else None
    return splits.Member(job.main.name, entry.categories if entry else frozenset(), job.main.split)


def split(
    jobs: list[Job], order: ImageOrder, problems: list[Problem], journal: Journal | None = None
) -> dict[int, str | None]:
    """The split of every image by its position, None for those that get none."""
    members = [member(job, journal) for job in jobs]
    group_by = re.compile(order.options.group_by) if order.options.group_by else None
    chosen = splits.assign(members, order.plan, group_by, order.options.seed, problems)
    return {job.position: split for job, split in zip(jobs, chosen, strict=True)}
