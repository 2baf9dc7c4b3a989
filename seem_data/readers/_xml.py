"""XML files in, element by element: entities and external references are refused, memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from seem_data.problems import fault
from seem_data.readers import _walk


def elements(path: Path, *paths: str) -> Iterator[tuple[str, Element]]:
    """The elements at these paths below the root ("image", "meta/task/labels/label"), each once complete.

    Yields:
        the path and the element; its content is forgotten when the next one is asked for.

    Raises:
        DataError: the file cannot be read, is no XML, or declares entities.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    wanted = set(paths)
    stack: list[Element] = []
    try:
        for event, element in iterparse(path, events=("start", "end")):
            if event == "start":
                stack.append(element)
                continue
            stack.pop()
            below_root = "/".join([*(parent.tag for parent in stack[1:]), element.tag])
            if below_root in wanted:
                yield below_root, element
                element.clear()
            if len(stack) == 1:
                stack[0].clear()
    except OSError as error:
        reason, remedy = f"cannot be read ({error.strerror})", "Check that it exists."
    except ParseError as error:
        reason = f"is not valid XML ({error})"
        remedy = "Export it again: it may have been cut off or edited by hand."
    except DefusedXmlException:
        reason, remedy = "declares entities, which are not read", "Export it again without a DOCTYPE."
    except (ValueError, LookupError) as error:  # unknown encodings
        reason, remedy = f"is XML that is not read ({error})", "Export it again as plain UTF-8."
    else:
        return
    raise fault("bad-xml", f"{reason}.", remedy, str(path))


def head(path: Path) -> str:
    """The first 64 KB as text, to recognise formats; "" if the file cannot be read."""
    data = _walk.head(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    return data.decode(encoding, errors="ignore")
