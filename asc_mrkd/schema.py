"""Strict sections: YAML in, `key=value` overrides, unknown keys answered with a suggestion, differences by name."""

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asc_mrkd.errors import ConfigError, suggest

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]


class Schema(BaseModel):
    """A section whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Section = TypeVar("Section", bound=Schema)


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML mapping; nothing in the file can execute."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "asc-mrkd recipes ls shows the files that come along") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no sections", "an experiment file starts like `data:` / `  store: exp/store`")
    return values


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one `a.b.c=value` in a nested mapping.

    >>> values = {"train": {"epochs": 200}}
    >>> apply_override(values, "train.epochs=3")
    >>> values
    {'train': {'epochs': 3}}
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override '{override}' has no value", "write key=value, as in train.epochs=10")
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if isinstance(inner, str):  # a section that was given by its name alone, as in `method: ce`
            inner = values[section] = {"name": inner}
        if not isinstance(inner, dict):
            raise ConfigError(f"override '{override}': {section} is a value, not a section")
        values = inner
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override '{override}': the value is not YAML", "quote it: 'key=\"value\"'") from None


def parse(schema: type[Section], values: Any, source: str) -> Section:
    """Validate `values` against `schema`; the first fault becomes a ConfigError that names the key."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise _explain(error, schema, source) from None


def _explain(error: ValidationError, schema: type[Schema], source: str) -> ConfigError:
    faults = error.errors()
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])  # a typo also leaves a key missing
    if not fault["loc"]:  # a rule about the whole, written as a sentence
        return ConfigError(f"{source}: {fault['msg'].removeprefix('Value error, ')}")
    known = _keys_of(schema)
    names = {name for key in known for name in key.split(".")}
    *sections, last = map(str, fault["loc"])
    where = ".".join([*(name for name in sections if name in names), last])  # without the tags of unions
    if fault["type"] == "extra_forbidden":
        return ConfigError(f"{source}: unknown key '{where}'", suggest(where, known))
    if fault["type"] == "union_tag_invalid":
        tag, tags = fault["ctx"]["tag"], fault["ctx"]["expected_tags"].replace("'", "").split(", ")
        return ConfigError(f"{source}: there is no {where} '{tag}'", suggest(tag, tags))
    if fault["type"] == "missing":
        return ConfigError(f"{source}: key '{where}' is missing")
    return ConfigError(f"{source}: {where}: {fault['msg']}, got {fault['input']!r}")


def _keys_of(schema: type[Schema], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in schema.model_fields.items():
        keys.append(prefix + name)
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            inner = getattr(inner, "__origin__", inner)  # without Annotated
            if isinstance(inner, type) and issubclass(inner, Schema):
                keys += _keys_of(inner, f"{prefix}{name}.")
    return keys


def differing_key(ours: Schema, theirs: Schema, ignore: tuple[str, ...] = ()) -> str | None:
    """Return 'key: ours is A, theirs is B' for the first key in which two sections differ, or None."""
    a, b = _flat(ours.model_dump()), _flat(theirs.model_dump())
    for key in dict.fromkeys([*a, *b]):
        if key not in ignore and a.get(key) != b.get(key):
            return f"{key} is {a.get(key)!r} here and {b.get(key)!r} there"
    return None


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
