"""Strict sections of YAML files, and the two short forms of the command line.

An unknown key is an error with a suggestion. The short forms are `section.key=value`, which overrides one value of a
file, and `name:option=value,...`, which names a network or a compression step with its options.
"""

import os
from collections.abc import Mapping
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
        if isinstance(inner, str):  # a section given by its name alone, as in `method: ce`
            inner = {"name": inner}
            values[section] = inner
        if not isinstance(inner, dict):
            raise ConfigError(f"override '{override}': {section} is a value, not a section")
        values = inner
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override '{override}': the value is not YAML", "quote it: 'key=\"value\"'") from None


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Split `name:option=value,option=value` into the name and its options.

    A value is read as YAML. A value without an option name extends the option before it to a list.

    Raises:
        ConfigError: an option has no value, or its value is not YAML.

    >>> parse_call("cp_resnet:num_classes=3,blocks=4,3,1,damping=0.1")
    ('cp_resnet', {'num_classes': 3, 'blocks': [4, 3, 1], 'damping': 0.1})
    >>> parse_call("float16")
    ('float16', {})
    """
    name, _, arguments = text.partition(":")
    options: dict[str, Any] = {}
    option = ""
    for argument in filter(None, arguments.split(",")):
        key, equals, value = argument.partition("=")
        if equals:
            option = key.strip()
            options[option] = _parse_option(value, text)
        elif option:
            if not isinstance(options[option], list):
                options[option] = [options[option]]
            options[option].append(_parse_option(argument, text))
        else:
            raise ConfigError(f"'{argument}' in '{text}' has no value", "write name:option=value,option=value")
    return name, options


def _parse_option(value: str, text: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"'{value}' in '{text}' is not a valid value", "write name:option=value") from None


def parse(schema: type[Section], values: Any, source: str) -> Section:
    """Validate `values` against `schema`.

    Args:
        schema: class of the section.
        values: mapping to validate.
        source: file or argument that the error message names.

    Raises:
        ConfigError: the first fault, with its key.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise _explain(error, schema, source) from None


def _explain(error: ValidationError, schema: type[Schema], source: str) -> ConfigError:
    faults = error.errors()
    unknown = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    fault = [*unknown, *faults][0]  # a typo comes first: it may also leave a required key missing
    if not fault["loc"]:  # a rule about the whole section, written as a sentence
        return ConfigError(f"{source}: {fault['msg'].removeprefix('Value error, ')}")
    known = _dotted_keys(schema)
    names = {name for key in known for name in key.split(".")}
    *sections, last = map(str, fault["loc"])
    sections = [name for name in sections if name in names]  # without the tags of unions
    where = ".".join([*sections, last])
    if fault["type"] == "extra_forbidden":
        return ConfigError(f"{source}: unknown key '{where}'", suggest(where, known))
    if fault["type"] == "union_tag_invalid":
        tag = fault["ctx"]["tag"]
        tags = fault["ctx"]["expected_tags"].replace("'", "").split(", ")
        return ConfigError(f"{source}: there is no {where} '{tag}'", suggest(tag, tags))
    if fault["type"] == "missing":
        return ConfigError(f"{source}: key '{where}' is missing")
    return ConfigError(f"{source}: {where}: {fault['msg']}, got {fault['input']!r}")


def _dotted_keys(schema: type[Schema], prefix: str = "") -> list[str]:
    """List the keys of a section and of the sections in it, as in `train.epochs`."""
    keys: list[str] = []
    for name, field in schema.model_fields.items():
        keys.append(prefix + name)
        alternatives = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for alternative in alternatives:
            inner = getattr(alternative, "__origin__", alternative)  # without Annotated
            if isinstance(inner, type) and issubclass(inner, Schema):
                keys += _dotted_keys(inner, f"{prefix}{name}.")
    return keys


def differing_key(ours: Schema, theirs: Schema, ignore: tuple[str, ...] = ()) -> str | None:
    """Return "KEY is A here and B there" for the first key in which two sections differ, or None."""
    here = flatten(ours.model_dump())
    there = flatten(theirs.model_dump())
    for key in dict.fromkeys([*here, *there]):
        if key not in ignore and here.get(key) != there.get(key):
            return f"{key} is {here.get(key)!r} here and {there.get(key)!r} there"
    return None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write a nested mapping with dotted keys.

    >>> flatten({"train": {"epochs": 3, "prune": {}}})
    {'train.epochs': 3, 'train.prune': {}}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
