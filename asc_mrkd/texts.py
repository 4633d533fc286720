"""Text files: read whole if they are small; YAML and JSON of bounded size and depth, in which nothing can execute."""

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from asc_mrkd.errors import AscMrkdError, ConfigError, shorten

LARGEST_FILE = 100_000
"""Largest YAML file, in bytes: an experiment takes two thousand."""

LARGEST_JSON = 10_000_000
"""Largest JSON file, in bytes."""

DEEPEST = 32
"""Largest number of sections and lists inside one another."""

TOO_DEEP = f"more than {DEEPEST} sections or lists inside one another"

MOST_VALUES = 10_000
"""Largest number of values in a YAML file, each counted as often as aliases repeat it."""

LARGEST_INTEGER = 2**63 - 1
"""Largest integer in a YAML file; the smallest is its negative."""


def read_text(
    path: str | os.PathLike[str],
    error: type[AscMrkdError] = ConfigError,
    hint: str = "",
    largest: int = LARGEST_FILE,
) -> str:
    """Read a small text file; a pipe or a device is not touched.

    Args:
        path: the file.
        error: type of the error.
        hint: hint of the error.
        largest: size in bytes up to which it is read.

    Raises:
        AscMrkdError: of that type: the file is missing, not a plain file, too large or not UTF-8.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise error(f"{path} is a folder, not a file", hint)
        if not stat.S_ISREG(mode):
            raise error(f"{path} is a pipe or a device, not a file", hint)
        with open(path, "rb") as stream:
            content = stream.read(largest + 1)
    except OSError as fault:
        raise error(f"{shorten(str(path))}: {fault.strerror}", hint) from None
    except ValueError:  # a NUL in the name
        raise error(f"{shorten(str(path))!r} is not the name of a file", hint) from None
    if len(content) > largest:
        raise error(f"{path} is larger than {largest:,} bytes", hint)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(f"{path} is not text in UTF-8: byte {fault.start + 1} cannot be read", hint) from None


def read_yaml(path: str | os.PathLike[str], hint: str) -> dict[str, Any]:
    """Read a YAML mapping; nothing in the file can execute.

    Args:
        path: the file.
        hint: hint of the error for a file that cannot be read or holds no mapping.

    Raises:
        ConfigError: the file cannot be read, or is not YAML as `parse_yaml` takes it.
    """
    inside = sorted(Path(path).glob("*.yaml")) if os.path.isdir(path) else []
    text = read_text(path, ConfigError, f"did you mean {inside[0]}?" if inside else hint)
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{path} is not YAML: {error}", "mend that line") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys with values", hint)
    return values


def read_json(path: str | os.PathLike[str], error: type[AscMrkdError], hint: str = "") -> Any:
    """Read a JSON file of at most LARGEST_JSON bytes.

    Raises:
        AscMrkdError: of that type: the file cannot be read, or is not JSON as `parse_json` takes it.
    """
    text = read_text(path, error, hint, LARGEST_JSON)
    try:
        return parse_json(text)
    except ValueError as fault:
        raise error(f"{path} cannot be read as JSON: {fault}", hint) from None


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text whose lists and objects are not deep, as in all JSON of ours.

    Raises:
        ValueError: the text is not JSON, or too deep.

    >>> parse_json("[1, null]")
    [1, None]
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    level = [value]
    for _ in range(DEEPEST):
        level = [part for one in level for part in _parts(one)]
    if level:
        raise ValueError(TOO_DEEP)
    return value


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Some of YAML is refused: tags, keys that appear twice, numbers that are infinite or beyond 64 bits, and texts that
    are deep, large, or large through aliases. Numbers to the base 60, octal numbers and dates are texts.

    Raises:
        ValueError: the text is not such YAML, with the reason in a line.

    >>> parse_yaml("{a: 1, b: 1:30}")
    {'a': 1, 'b': '1:30'}
    """
    if len(text) > LARGEST_FILE:
        raise ValueError(f"more than {LARGEST_FILE:,} characters")
    try:
        loader = _StrictLoader(text)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{place}{shorten(str(error.problem or error.context))}") from None
    except yaml.YAMLError as error:  # a character that YAML does not have
        raise ValueError(shorten(" ".join(str(error).split()))) from None


def compose_yaml(text: str) -> yaml.Node | None:
    """Return the nodes of a YAML text without tags, of bounded depth and size; all else is as YAML has it.

    Raises:
        yaml.YAMLError: the text is not such YAML.
    """
    if len(text) > LARGEST_FILE:
        raise yaml.YAMLError(f"more than {LARGEST_FILE:,} characters")
    return _BoundedLoader(text).get_single_node()


class _BoundedLoader(yaml.SafeLoader):
    """A loader that refuses tags, and texts that are deep, large, or large through aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}
        """Number of values of every node that is complete, aliases written out."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "tag", None) not in (None, "!"):
            raise _fault("tags such as !!int are not read", event)
        self._depth += 1
        if self._depth > DEEPEST:
            raise _fault(TOO_DEEP, event)
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise _fault("an alias stands inside its own anchor", event)
        else:
            self._sizes[node] = 1 + sum(self._sizes[child] for child in _children(node))
            if self._sizes[node] > MOST_VALUES:
                raise _fault(f"more than {MOST_VALUES:,} values", event)
        return node


class _StrictLoader(_BoundedLoader):
    """The loader behind `parse_yaml`."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        names = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    raise _fault(f"the key '{shorten(key.value)}' appears twice", key)
                names.add(key.value)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        digits = node.value.replace("_", "")
        value = int(digits, 0) if len(digits) < 40 else LARGEST_INTEGER + 1
        if abs(value) > LARGEST_INTEGER:
            raise _fault("an integer is beyond 64 bits", node)
        return value

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        value = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise _fault("a number is not finite", node)
        return value


def _fault(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def _children(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


INT = "tag:yaml.org,2002:int"
FLOAT = "tag:yaml.org,2002:float"
TIMESTAMP = "tag:yaml.org,2002:timestamp"

_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (INT, FLOAT, TIMESTAMP)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(
    FLOAT,
    re.compile(r"([-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)
_StrictLoader.add_implicit_resolver(INT, re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$"), list("-+0123456789"))
_StrictLoader.add_constructor(INT, _StrictLoader.construct_yaml_int)
_StrictLoader.add_constructor(FLOAT, _StrictLoader.construct_yaml_float)
