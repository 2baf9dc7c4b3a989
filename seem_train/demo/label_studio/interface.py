"""A Label Studio project's labelling interface: where the photo is, and which controls take which labels."""

from __future__ import annotations

from dataclasses import dataclass

from defusedxml import ElementTree

from seem_train.errors import UserError

_SHAPES = {"PolygonLabels": "polygon", "BrushLabels": "brush"}


@dataclass(frozen=True)
class Control:
    name: str
    image: str  #: the name of the image tag it belongs to
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Interface:
    """
    Attributes:
        photo: the key of a task's data that holds the photo's address.
        controls: shape ("polygon" or "brush") ─▶ the control that takes it.
    """

    photo: str
    controls: dict[str, Control]

    @property
    def labels(self) -> list[str]:
        """Of all controls, each once."""
        return list(dict.fromkeys(label for control in self.controls.values() for label in control.labels))


def read_interface(config: str) -> Interface:
    """Raises UserError: it is no XML, or has no image or no control that a mask could be given to."""
    try:
        root = ElementTree.fromstring(config)
    except Exception as error:  # of the parser, or of defusedxml, which refuses entities
        raise UserError(f"label_config: cannot be read ({error})") from None
    images = {tag.get("name", ""): tag.get("value", "") for tag in root.iter("Image")}
    controls: dict[str, Control] = {}
    for tag in root.iter():
        shape = _SHAPES.get(tag.tag)
        if shape is None or shape in controls or tag.get("toName") not in images:
            continue
        labels = tuple(label.get("value", "") for label in tag.iter("Label"))
        controls[shape] = Control(tag.get("name", ""), tag.get("toName", ""), labels)
    if not controls:
        raise UserError("label_config: has no PolygonLabels and no BrushLabels on an Image; add one of them")
    value = images[next(iter(controls.values())).image]
    if not value.startswith("$"):
        raise UserError(
            f"label_config: the Image's value is {value!r}; it must name a field, such as '$image'"
        )
    return Interface(value[1:], controls)
