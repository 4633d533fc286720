"""Sections without unknown keys, and two short forms of the command line.

An unknown key is an error with a suggestion. The short forms are `section.key=value`, which overrides one value of a
file, and `name:option=value,...`, which names a network or a compression step with its options.
"""

import ast
import difflib
import inspect
import textwrap
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from asc_mrkd.errors import ConfigError, shorten, shown, suggest
from asc_mrkd.texts import DEEPEST, parse_yaml


def _refuse_truth_value(value: Any) -> Any:
    """Refuse true and false, which would count as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not true or false")
    return value


NUMBER = BeforeValidator(_refuse_truth_value)
"""Mark of a number in an `Annotated` type: true and false are refused."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0), NUMBER]
Positive = Annotated[float, Field(gt=0.0, le=1e6), NUMBER]
NotNegative = Annotated[float, Field(ge=0.0, le=1e6), NUMBER]
Temperature = Annotated[float, Field(ge=0.01, le=1000.0), NUMBER]
Whole = Annotated[int, Field(ge=0, le=10**9), NUMBER]
Count = Annotated[int, Field(ge=1, le=10**9), NUMBER]
Few = Annotated[int, Field(ge=1, le=64), NUMBER]
Seed = Annotated[int, Field(ge=0, lt=2**32), NUMBER]
PathName = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]


class Schema(BaseModel):
    """A section whose unknown keys are errors; its numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Section = TypeVar("Section", bound=Schema)


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one `a.b.c=value` in a nested mapping.

    Raises:
        ConfigError: there is no value, it is not YAML, or a section of the key is a value.

    >>> values = {"train": {"epochs": 200}}
    >>> apply_override(values, "train.epochs=3")
    >>> values
    {'train': {'epochs': 3}}
    """
    key, equals, text = override.partition("=")
    where = f"override '{shorten(override)}'"
    if not equals or not key:
        raise ConfigError(f"{where} has no value", "write key=value, as in train.epochs=10")
    *sections, last = key.strip().split(".")
    if len(sections) > DEEPEST:
        raise ConfigError(f"{where} names more than {DEEPEST} sections", "write key=value, as in train.epochs=10")
    for section in sections:
        inner = values.setdefault(section, {})
        if isinstance(inner, str):  # a section given by its name alone, as in `method: ce`
            inner = {"name": inner}
            values[section] = inner
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{where}: {section} is a value, not a section",
                f"write the section in the file, or {section}.key=value",
            )
        values = inner
    try:
        values[last] = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}", "write a finite number, or quote a text: 'key=\"value\"'") from None


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Split `name:option=value,option=value` into the name and its options.

    A value is read as YAML. A value without an option name extends the option before it to a list.

    Raises:
        ConfigError: an option has no value, appears twice, or its value is not YAML.

    >>> parse_call("cp_resnet:num_classes=3,blocks=4,3,1,damping=0.1")
    ('cp_resnet', {'num_classes': 3, 'blocks': [4, 3, 1], 'damping': 0.1})
    >>> parse_call("float16")
    ('float16', {})
    """
    name, _, arguments = text.partition(":")
    options: dict[str, Any] = {}
    option = ""
    where = shorten(text)
    for argument in filter(None, arguments.split(",")):
        key, equals, value = argument.partition("=")
        if equals:
            option = key.strip()
            if option in options:
                raise ConfigError(f"'{shorten(option)}' appears twice in '{where}'", "keep one of them")
            options[option] = _parse_option(value, where)
        elif option:
            if not isinstance(options[option], list):
                options[option] = [options[option]]
            options[option].append(_parse_option(argument, where))
        else:
            raise ConfigError(
                f"'{shorten(argument)}' in '{where}' has no value", "write name:option=value,option=value"
            )
    return name, options


def _parse_option(value: str, where: str) -> Any:
    try:
        return parse_yaml(value)
    except ValueError:
        raise ConfigError(f"'{shorten(value)}' in '{where}' is not a valid value", "write name:option=value") from None


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


Owner = tuple[type[Schema], str]
"""A section and the name of one of its keys."""


def _explain(error: ValidationError, schema: type[Schema], source: str) -> ConfigError:
    """Return the error for the first fault; a typo comes first, as it may also leave a required key missing."""
    faults = error.errors()
    unknown = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    known = _dotted_keys(schema)
    if unknown:
        message, hint = _explain_unknown_key(unknown[0]["loc"], known)
    else:
        message, hint = _explain_value(faults[0], known, source)
    return ConfigError(f"{source}: {message}", hint)


def _explain_unknown_key(location: tuple[int | str, ...], known: Mapping[str, Owner]) -> tuple[str, str]:
    """Return message and hint for a key that a section does not have."""
    section = _key_of(location[:-1], known)
    where = ".".join(filter(None, [section, shorten(str(location[-1]))]))
    if where not in known:
        return f"unknown key '{where}'", _hint_for_unknown(where, section, known)
    # It is of another alternative, as `data.subset` is next to `data.store`.
    return (
        f"'{where}' does not go with the other keys of '{section}'",
        f"leave keys out, or write the whole section: '{section}={{key: value}}'",
    )


def _explain_value(fault: ErrorDetails, known: Mapping[str, Owner], source: str) -> tuple[str, str]:
    """Return message and hint for a value that is missing or not valid."""
    where = _key_of(fault["loc"], known)
    place = f"{where}: " if where else ""
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "union_tag_invalid":
        tag = str(fault["ctx"]["tag"])
        tags = fault["ctx"]["expected_tags"].replace("'", "").split(", ")
        return f"there is no {where} '{shorten(tag)}'", suggest(tag, tags)
    if fault["type"] == "missing":
        return f"key '{where}' is missing", _meaning(where, known)
    if fault["type"] == "value_error" and isinstance(fault["input"], dict | Schema):  # a rule about a whole section
        return f"{place}{message}", f"change it in {source}, or write key=value behind the command"
    if fault["type"] in ("model_type", "dict_type"):
        keys = [key for key in known if key.rpartition(".")[0] == where]
        hint = f"it holds {', '.join(keys) or 'names and values'}"
        return f"{place}this is a section, got {shown(fault['input'])}", hint
    return f"{place}{message}, got {shown(fault['input'])}", _meaning(where, known)


def _key_of(location: tuple[int | str, ...], known: Mapping[str, Owner]) -> str:
    """Return the longest known key on the way to a fault: without the tags of unions and positions in lists."""
    key = ""
    for part in location:
        longer = f"{key}.{part}" if key else str(part)
        if longer in known:
            key = longer
    return key


def _hint_for_unknown(where: str, section: str, known: Mapping[str, Owner]) -> str:
    others = [key for key in known if key != section]
    if close := difflib.get_close_matches(where, others, n=1, cutoff=0.75):
        return f"did you mean '{close[0]}'?"
    if f"{section}.options" in known:
        return f"options go one level lower: {section}.options{where.removeprefix(section)}"
    name = where.rpartition(".")[2]
    if elsewhere := [key for key in others if key.rpartition(".")[2] == name]:
        return f"did you mean '{elsewhere[0]}'?"
    return suggest(where, [key for key in others if key.rpartition(".")[0] == section])


def _meaning(where: str, known: Mapping[str, Owner]) -> str:
    """Return the documentation of a key as a hint."""
    if where not in known:
        return "asc-mrkd recipes ls lists experiment files that work"
    owner, name = known[where]
    section = where.partition(".")[0]
    catalogue = {"method": "methods", "model": "models"}.get(section)
    text = _field_texts(owner).get(name, "")
    if not text and catalogue:
        return f"asc-mrkd {catalogue} lists the options and their defaults"
    if not text[1:2].isupper():  # not an abbreviation, such as SHA-256
        text = text[:1].lower() + text[1:]
    return f"{where}: {text}" if text else f"look at {where}"


def _field_texts(owner: type[Schema]) -> dict[str, str]:
    """Return the strings below the fields of a section, by the names of the fields."""
    try:
        (class_node,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    except (OSError, TypeError, SyntaxError):  # a section that was put together by a program
        return {}
    texts = {}
    body = getattr(class_node, "body", [])
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return texts


def _dotted_keys(schema: type[Schema], prefix: str = "") -> dict[str, Owner]:
    """Return the keys of a section and of the sections in it, as in `train.epochs`."""
    keys: dict[str, Owner] = {}
    for name, field in schema.model_fields.items():
        keys[prefix + name] = (schema, name)
        alternatives = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for alternative in alternatives:
            inner = getattr(alternative, "__origin__", alternative)  # without Annotated
            if isinstance(inner, type) and issubclass(inner, Schema):
                keys |= _dotted_keys(inner, f"{prefix}{name}.")
    return keys


def differing_key(
    first: Schema, second: Schema, ignore: Collection[str] = (), places: tuple[str, str] = ("here", "there")
) -> str | None:
    """Return "KEY is A here and B there" for the first key in which two sections differ, or None.

    Args:
        first: a section.
        second: another one of the same kind.
        ignore: keys that may differ.
        places: words for the places of the two sections.
    """
    here = flatten(first.model_dump())
    there = flatten(second.model_dump())
    for key in dict.fromkeys([*here, *there]):
        if key not in ignore and here.get(key) != there.get(key):
            return f"{key} is {shown(here.get(key))} {places[0]} and {shown(there.get(key))} {places[1]}"
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
            flat[f"{prefix}{key}"] = value
    return flat
