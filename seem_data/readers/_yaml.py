"""YAML files in, bounded: a few lines of aliases can stand for more than fits into any memory.

PyYAML is loaded on first use, for every build asks every reader whether it knows the input.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from seem_data.problems import DataError, Problem
from seem_data.readers._walk import read_text

if TYPE_CHECKING:
    from yaml import Node, SafeLoader

_DEEPEST = 30  #: lists within lists
_MOST_NODES = 200_000  #: values, each as often as aliases repeat it


def read_mapping(path: Path, needs: str) -> dict[str, object]:
    """A YAML file whose top is a mapping.

    Args:
        needs: what to say that it needs where it is none.

    Raises:
        DataError: it cannot be read, is no YAML, or is one that would not end.
    """
    import yaml

    text = read_text(path)
    try:
        found = yaml.load(text, _loader())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(Problem("bad-yaml", f"is no YAML ({reason}).", "Correct it.", str(path))) from None
    if not isinstance(found, dict):
        raise DataError(Problem("bad-yaml", "holds no keys.", needs, str(path)))
    return found


@cache
def _loader() -> type[SafeLoader]:
    import yaml

    class BoundedLoader(yaml.SafeLoader):
        """Builds plain values only, and stops where they are nested too deeply or repeat without end."""

        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self._depth = self._count = 0
            self._sizes: dict[int, int] = {}  #: of each node composed, by its identity

        def compose_node(self, parent: Node | None, index: object) -> Node | None:
            before, is_alias = self._count, self.check_event(yaml.AliasEvent)
            self._depth += 1
            if self._depth > _DEEPEST:
                raise yaml.YAMLError(f"it is nested more than {_DEEPEST} deep")
            node = super().compose_node(parent, index)  # type: ignore[arg-type]
            self._depth -= 1
            self._count += self._sizes.get(id(node), _MOST_NODES) if is_alias else 1
            if self._count > _MOST_NODES:
                raise yaml.YAMLError(f"with what its aliases repeat it has more than {_MOST_NODES:,} values")
            if not is_alias:
                self._sizes[id(node)] = self._count - before
            return node

    return BoundedLoader
