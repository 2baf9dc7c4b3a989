"""What is wrong, in which file and field, and what to do about it.

A `Problem` is one finding about a user's input or a dataset. Readers and checks collect problems and go
on, so that a user meets all of them in one run; `DataError` carries those that stop the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeVar

T = TypeVar("T")
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    Attributes:
        code: short stable name of the kind of problem, e.g. ``"unknown-label"``; problems are grouped by it.
        message: what is wrong, one sentence without the file name, showing the bad value.
        remedy: what to do about it, one sentence; may be empty where the message says it all.
        file: the file as the user named it (relative where possible), or "" when it is about no file.
        where: place inside the file, e.g. ``"shapes[3].points"`` or ``"annotation 17"``.
        severity: ``error`` (the image, object or file is left out), ``warning`` (built, but look at it),
            ``note`` (done silently right, told for the record).
    """

    code: str
    message: str
    remedy: str = ""
    file: str = ""
    where: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        place = " ".join(part for part in (self.file, self.where) if part)
        sentence = f"{place}: {self.message}" if place else self.message
        return f"{sentence} {self.remedy}".rstrip()

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class DataError(Exception):
    """Input that cannot be used. Carries every problem found, not only the first."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: list[Problem] = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[DataError], tuple[list[Problem]]]:
        return (type(self), (self.problems,))  # the default would pickle the text: workers send problems home


def fault(
    code: str, message: str, remedy: str = "", file: str = "", where: str = "", severity: Severity = "error"
) -> DataError:
    """The error of one problem, to be raised; see `Problem`. Of a part of a file, whoever collects it knows
    file and place."""
    return DataError(Problem(code, message, remedy, file, where, severity))


class Spot:  # no generator, for speed: readers enter one for every object
    """Where an object stands in its file; a ``with`` block collects what goes wrong with it and goes on.

    A `DataError` raised inside ends the block; its problems join the list, with file and place filled in
    where they lack them.
    """

    __slots__ = ("file", "problems", "where")

    def __init__(self, problems: list[Problem], file: str = "", where: str = "") -> None:
        self.problems, self.file, self.where = problems, file, where

    def tell(self, code: str, message: str, remedy: str = "", severity: Severity = "warning") -> None:
        """Of an object that is read none the less."""
        self.problems.append(Problem(code, message, remedy, self.file, self.where, severity))

    def __enter__(self) -> Spot:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, DataError):
            return False
        for problem in error.problems:
            dot = "." if self.where and problem.where and not problem.where.startswith("[") else ""
            place = f"{self.where}{dot}{problem.where}"
            self.problems.append(replace(problem, file=problem.file or self.file, where=place))
        return True


def attempt(problems: list[Problem], function: Callable[..., T], *arguments: object) -> T | None:
    """What the function returns; or None where it raises a `DataError`, whose problems join the list."""
    with Spot(problems):
        return function(*arguments)
    return None


#: The code of a problem that is told once a file, however many photos have it.
EXIF_ORIENTATION = "exif-orientation"


def once_a_file(problems: Iterable[Problem]) -> list[Problem]:
    """The problems, those of `EXIF_ORIENTATION` counted: the first of a file stands for all."""
    found: list[Problem] = []
    places: dict[str, tuple[int, int]] = {}
    for problem in problems:
        if problem.code != EXIF_ORIENTATION:
            found.append(problem)
            continue
        place, count = places.get(problem.file, (len(found), 0))
        places[problem.file] = place, count + 1
        if not count:
            found.append(problem)
        else:
            message = problem.message.replace("1 photo has", f"{count + 1:,} photos have", 1)
            found[place] = replace(found[place], message=message, where="")
    return found
