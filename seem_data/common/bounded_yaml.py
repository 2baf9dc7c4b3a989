"""YAML in, bounded: a few lines of aliases can stand for more than fits into any memory.

PyYAML is loaded on first use, for every build asks every reader whether it knows the input.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yaml import Node, SafeLoader

_DEEPEST = 30  #: lists within lists
_MOST_NODES = 200_000  #: values, each as often as aliases repeat it


class YamlError(ValueError):
    """Why a text is no YAML that can be used, in a line.

    Attributes:
        line: where, counted from 1; None where that is not known.
    """

    def __init__(self, reason: str, line: int | None) -> None:
        super().__init__(reason)
        self.line = line


def load_yaml(text: str) -> object:
    """Plain values: mappings, lists, texts, numbers, dates.

    Raises:
        YamlError: it is no YAML, or is one that would not end.
    """
    import yaml

    try:
        return yaml.load(text, _loader())  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a ValueError of an impossible date
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        raise YamlError(" ".join(reason.split()), mark.line + 1 if mark else None) from None


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
