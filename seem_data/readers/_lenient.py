"""What other tools write into fields that no mask needs: numbers as text, flags as words, null for absent.

`eased` makes a JSON value fit the msgspec type that a reader declares, field by field:

* a number may be text (``"60"``), and a whole one have a fraction of zero (``60.0``);
* a flag may be 0, 1 or a word (``"true"``, ``"no"``);
* text may be a number (a label ``7``);
* a list or an object may be JSON in text (``"[[1, 2]]"``), as tables hold it;
* null where a field has a default is the default;
* what still does not fit is left out if the field has a default, and told, once, with its place.

Fields that masks are made of are declared `Needed`: there nothing is left out, and the caller refuses.
It runs only where a strict decoder failed, so files as they should be cost nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import NoneType
from typing import TypeAlias

import msgspec
from msgspec import inspect

#: Marks a field with a default as one that masks are made of: ``Annotated[list[int] | None, Needed]``.
Needed = msgspec.Meta(extra={"needed": True})

LeftOut: TypeAlias = list[tuple[str, str]]  #: the place of each field, and what was there

_HOLDERS = inspect.StructType | inspect.ListType | inspect.TupleType | inspect.DictType
_TRUE = frozenset(("true", "yes", "y", "on", "1", "t"))
_FALSE = frozenset(("false", "no", "n", "off", "0", "f", "", "none", "null"))
_UNFIT = object()  #: what cannot be made to fit


def eased(value: object, type: object) -> tuple[object, LeftOut]:
    """The value as one that fits the type better, and the fields left out for it: place, and what was there.

    What cannot be made to fit and is needed stays as it was: decoding tells what is wrong with it.
    """
    left_out: LeftOut = []
    better = _ease(value, _information(type), "", left_out)
    return (value if better is _UNFIT else better), left_out


@lru_cache(maxsize=256)
def _information(type: object) -> inspect.Type:
    return inspect.type_info(type)


def _ease(value: object, type: inspect.Type, place: str, left_out: LeftOut) -> object:
    if isinstance(type, inspect.Metadata):
        return _ease(value, type.type, place, left_out)
    if isinstance(type, inspect.UnionType):
        return _ease_union(value, type, place, left_out)
    if isinstance(value, str) and isinstance(type, _HOLDERS):
        value = _of_text(value)
    if isinstance(type, inspect.StructType):
        return _ease_struct(value, type, place, left_out)
    if isinstance(type, inspect.ListType | inspect.TupleType):
        return _ease_list(value, type, place, left_out)
    if isinstance(type, inspect.DictType):
        return _ease_dict(value, type, place, left_out)
    return _ease_plain(value, type)


def _of_text(text: str) -> object:
    """The list or object that a text is the JSON of; the text if it is of none."""
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _ease_plain(value: object, type: inspect.Type) -> object:
    """A number, a flag or text; whatever else there is (raw JSON, anything) stays."""
    if isinstance(type, inspect.NoneType):
        return None if value is None else _UNFIT
    if isinstance(type, inspect.BoolType):
        return _flag(value)
    if isinstance(type, inspect.IntType | inspect.FloatType):
        number = _number(value)
        if number is None:
            return _UNFIT
        if isinstance(type, inspect.FloatType):
            return number
        return int(number) if number == int(number) else _UNFIT
    if isinstance(type, inspect.StrType):
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return _UNFIT
        return str(value)
    return value


def _number(value: object) -> float | int | None:
    """The number that is there, or is written there; None for what is none, or not finite."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float) or value != value or value in (float("inf"), -float("inf")):
        return None
    return int(value) if isinstance(value, bool) else value


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().casefold()
        return True if word in _TRUE else False if word in _FALSE else _UNFIT
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else _UNFIT


def _ease_union(value: object, type: inspect.UnionType, place: str, left_out: LeftOut) -> object:
    """As the member that the value is of already, else as the first that it can be made."""
    members = sorted(type.types, key=lambda member: not _is_of(value, member))
    for member in members:
        told: LeftOut = []
        better = _ease(value, member, place, told)
        if better is not _UNFIT:
            left_out += told
            return better
    return _UNFIT


def _is_of(value: object, type: inspect.Type) -> bool:
    if isinstance(type, inspect.Metadata):
        return _is_of(value, type.type)
    if isinstance(value, bool):
        return isinstance(type, inspect.BoolType)
    kinds = {
        int: inspect.IntType | inspect.FloatType,
        float: inspect.FloatType,
        str: inspect.StrType,
        list: inspect.ListType | inspect.TupleType,
        dict: inspect.StructType | inspect.DictType,
        NoneType: inspect.NoneType,
    }
    return isinstance(type, kinds.get(value.__class__, inspect.AnyType))


def _ease_struct(value: object, type: inspect.StructType, place: str, left_out: LeftOut) -> object:
    if not isinstance(value, dict):
        return _UNFIT
    better = dict(value)
    for field in type.fields:
        name = field.encode_name
        if name not in better:
            continue
        inner = f"{place}.{name}" if place else name
        there = better[name]
        eased = _ease(there, field.type, inner, left_out)
        if eased is not _UNFIT:
            better[name] = eased
        elif not field.required and (there is None or not _is_needed(field.type)):
            del better[name]
            if there is not None:
                left_out.append((inner, _shown(there)))
    return better


def _is_needed(type: inspect.Type) -> bool:
    return isinstance(type, inspect.Metadata) and bool((type.extra or {}).get("needed"))


def _ease_list(
    value: object, type: inspect.ListType | inspect.TupleType, place: str, left_out: LeftOut
) -> object:
    if not isinstance(value, list):
        return _UNFIT
    types = type.item_types if isinstance(type, inspect.TupleType) else (type.item_type,) * len(value)
    if len(types) != len(value):
        return _UNFIT
    better: list[object] = []
    for index, (there, inner) in enumerate(zip(value, types, strict=True)):
        eased = _ease(there, inner, f"{place}[{index}]", left_out)
        if eased is _UNFIT:
            eased = None if _ease(None, inner, "", []) is None else there
        better.append(eased)
    return better


def _ease_dict(value: object, type: inspect.DictType, place: str, left_out: LeftOut) -> object:
    if not isinstance(value, dict):
        return _UNFIT
    better = {}
    for key, there in value.items():
        inner = f"{place}.{key}" if place else str(key)
        eased = _ease(there, type.value_type, inner, left_out)
        if eased is _UNFIT:
            left_out.append((inner, _shown(there)))
        else:
            better[key] = eased
    return better


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"


def without(value: object, type: object, path: str) -> tuple[str, str] | None:
    """Take the innermost field with a default out of the value that the path of a decoder's complaint leads
    through (``.tags[2].name``), and that no mask needs.

    Returns:
        its place and what was there; None where there is none.
    """
    holder, found, place = value, None, ""
    information: inspect.Type = _information(type)
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path):
        information = _member(information, name)
        if index == "..." or not isinstance(holder, dict if name else list):
            break
        if name:
            place = f"{place}.{name}".lstrip(".")
            field = next((f for f in getattr(information, "fields", ()) if f.encode_name == name), None)
            if field is None or name not in holder:
                break
            if not field.required and not _is_needed(field.type):
                found = holder, name, place
            information, holder = field.type, holder[name]
        else:
            place = f"{place}[{index}]"
            items = getattr(information, "item_types", None) or [getattr(information, "item_type", None)]
            information = items[min(int(index), len(items) - 1)] or inspect.AnyType()
            holder = holder[int(index)]
    if found is None:
        return None
    holder, name, place = found
    return place, _shown(holder.pop(name))


def _member(type: inspect.Type, name: str) -> inspect.Type:
    """Of a union the member that is a struct (for a field's name) or a list."""
    if isinstance(type, inspect.Metadata):
        return _member(type.type, name)
    if isinstance(type, inspect.UnionType):
        kinds = inspect.StructType if name else inspect.ListType | inspect.TupleType
        return next((member for member in type.types if isinstance(member, kinds)), type)
    return type
