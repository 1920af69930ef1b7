"""Nested records from YAML: every value of its type, every key known, and where it is not, said."""

import dataclasses
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from merclip_lib.files import did_you_mean
from merclip_lib.study.grids import UniqueKeys


class TextKeys(UniqueKeys):
    """YAML whose keys are text and given once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        for key in (self.construct_object(key, deep) for key, _ in node.value):
            if not isinstance(key, str):
                where = f"line {node.start_mark.line + 1}"
                raise yaml.YAMLError(f"{where}: the key {key!r} must be text: write '{key}'")
        return super().construct_mapping(node, deep)


def read_as(kind: Any, value: Any, where: str) -> Any:
    """A value of this type, with all that is in it; ValueError for what does not fit."""
    inner, record = get_args(kind), kind
    if dataclasses.is_dataclass(kind):
        read_as(dict, value, where)
        known, hints = {each.name: each for each in dataclasses.fields(kind)}, get_type_hints(kind)
        for key in value:
            if key not in known:
                raise ValueError(f"{where}: unknown key {key!r}{did_you_mean(key, known)}")
        for key, each in known.items():
            if key not in value and each.default is each.default_factory is dataclasses.MISSING:
                raise ValueError(f"{where}: the key {key!r} is missing; keys: {', '.join(known)}")
        return record(**{key: read_as(hints[key], value[key], f"{where}, {key}") for key in value})
    if get_origin(kind) is Literal:
        if value not in inner:
            raise ValueError(f"{where} is {value!r}{did_you_mean(value, map(str, inner))}")
        return value
    if kind is float and type(value) is int:
        return float(value)
    wanted = get_origin(kind) or kind
    if kind is not Any and type(value) is not wanted:
        raise ValueError(f"{where} is {value!r}; write a value of type {wanted.__name__}")
    if wanted is dict and inner:
        return {key: read_as(inner[1], part, f"{where}, {key}") for key, part in value.items()}
    if wanted is list:
        return [read_as(inner[0], part, f"{where}, number {k}") for k, part in enumerate(value, 1)]
    return value
