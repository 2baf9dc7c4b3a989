"""Steps that can be taken back: states that are never changed, and where among them one stands."""

from __future__ import annotations

from typing import Generic, TypeVar

State = TypeVar("State")


class History(Generic[State]):
    """
    Args:
        length: states that are remembered; the oldest is forgotten.
    """

    def __init__(self, first: State, length: int) -> None:
        self._states, self._place, self._length = [first], 0, length

    @property
    def now(self) -> State:
        return self._states[self._place]

    @property
    def can_undo(self) -> bool:
        return self._place > 0

    @property
    def can_redo(self) -> bool:
        return self._place + 1 < len(self._states)

    def add(self, state: State) -> None:
        """A further step; what was undone before cannot be redone any more."""
        self._states = [*self._states[: self._place + 1], state][-self._length - 1 :]
        self._place = len(self._states) - 1

    def undo(self) -> None:
        self._place -= self.can_undo

    def redo(self) -> None:
        self._place += self.can_redo
