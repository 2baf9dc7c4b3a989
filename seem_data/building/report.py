"""What a build tells: its progress, and in the end what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from seem_data.layout import Counts
from seem_data.problems import Problem

#: Told (step, done, total) as the work goes on; a total of 0 is one not known yet.
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class BuildReport:
    """What a build did.

    Attributes:
        out: the dataset's folder.
        splits: what each split holds.
        problems: all of them; those of images in the order of the input.
        built, kept, failed: images made now, found unchanged from an earlier build, left out.
        seconds: what the workers spent, by stage.
    """

    out: Path
    splits: dict[str, Counts] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    built: int = 0
    kept: int = 0
    failed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def has_errors(self) -> bool:
        """Whether anything of the input was left out."""
        return any(problem.severity == "error" for problem in self.problems)

    def as_dict(self) -> dict[str, object]:
        return {
            "out": str(self.out),
            "splits": {name: asdict(counts) for name, counts in self.splits.items()},
            "built": self.built,
            "kept": self.kept,
            "failed": self.failed,
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "problems": [problem.as_dict() for problem in self.problems],
        }
