"""The table of training methods, and how the section `method` of an experiment becomes a module.

The table is plain text: the module of a method is imported when its options are checked or when it is built, so that
reading a run needs no torch.
"""

import difflib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import create_model

from asc_mrkd import config
from asc_mrkd.config import Experiment, MethodConfig
from asc_mrkd.errors import ConfigError, first_line, require_known, shorten, suggest
from asc_mrkd.mrkd import PRESETS, VARIANTS
from asc_mrkd.mrkd.presets import Variant
from asc_mrkd.own_code import OwnCode, load_own, parse_own
from asc_mrkd.schema import Schema, parse

if TYPE_CHECKING:
    from torch import nn

    from asc_mrkd.methods.base import Method, TrainingContext

Options = Mapping[str, Any]
"""All options of a method by name."""

Passes = tuple[int, int]
"""Forward and backward passes of whole networks per step; early classifiers come on top."""

STORED_TEACHER = ".csv"
"""Suffix of a teacher that is a table of probabilities by clip; the other teachers are networks."""


@dataclass(frozen=True)
class MethodEntry:
    """A training method."""

    title: str
    """Name in tables and figures."""
    home: str
    """Module and class, as in `asc_mrkd.methods.ce:CrossEntropy`, or the file and class of a user."""
    passes: Callable[[Options], Passes]
    """Cost of a step with given options."""
    memory: str = ""
    """Tensors that the method holds besides the student; empty if none."""
    source: str = ""
    """Publication; empty for common knowledge."""
    variants: Mapping[str, Variant] = field(default_factory=dict)
    """Values of the option `variant` that have titles of their own."""
    needs_teachers: bool = False
    """Whether an experiment has to name trained teachers."""

    @property
    def method_class(self) -> "type[Method]":
        """The class, imported now."""
        code = parse_own(self.home)
        if code is not None:
            return load_method_class(code)
        module, _, name = self.home.partition(":")
        return getattr(import_module(module), name)


def _passes_of_mrkd(options: Options) -> Passes:
    """Return the passes of a step once the logits that can be kept are kept."""
    teachers = {"exact": options["num_backups"], "repeat": 1, "cached": 0, "replay": 0}
    return teachers[options["teachers"]] + 1, 1


def _passes_of_kd(options: Options) -> Passes:
    """Return the passes of a step: those of the networks among the teachers, of the backups and of the student."""
    networks = [path for path in options["teacher_files"] or ["one"] if not path.endswith(STORED_TEACHER)]
    teachers = 0 if options["teachers"] == "cached" else len(networks)
    backups = 3 if options["variant"] == "mrkd" and options["backups"] == "exact" else 0
    return teachers + backups + 1, 1


METHODS: dict[str, MethodEntry] = {
    "ce": MethodEntry("CE", "asc_mrkd.methods.ce:CrossEntropy", passes=lambda options: (1, 1)),
    "label_smoothing": MethodEntry(
        "Label smoothing",
        "asc_mrkd.methods.label_smoothing:LabelSmoothing",
        passes=lambda options: (1, 1),
        source="Szegedy et al., CVPR 2016",
    ),
    "mrkd": MethodEntry(
        "MrKD",
        "asc_mrkd.methods.mrkd:Mrkd",
        passes=_passes_of_mrkd,
        memory="copies of the network or logits of the training samples, the ensemble",
        source="Wang et al., Sensors 2021",
        variants=VARIANTS,
    ),
    "pskd": MethodEntry(
        "Self-KD",
        "asc_mrkd.methods.pskd:Pskd",
        passes=lambda options: (2 if options["source"] == "model" else 1, 1),
        memory="a probability per class for every training sample, or a copy of the network",
        source="Kim et al., ICCV 2021",
    ),
    "msd": MethodEntry(
        "MSD",
        "asc_mrkd.methods.msd:Msd",
        passes=lambda options: (1, 1),
        memory="early classifiers",
        source="Luan et al., 2019",
    ),
    "byot": MethodEntry(
        "BYOT",
        "asc_mrkd.methods.byot:Byot",
        passes=lambda options: (1, 1),
        memory="early classifiers",
        source="Zhang et al., ICCV 2019",
    ),
    "dml": MethodEntry(
        "DML",
        "asc_mrkd.methods.dml:Dml",
        passes=lambda options: (options["peers"], options["peers"]),
        memory="the other peers",
        source="Zhang et al., CVPR 2018",
    ),
    "ban": MethodEntry(
        "BAN",
        "asc_mrkd.methods.ban:Ban",
        passes=lambda options: (2 if options["generations"] > 1 else 1, 1),
        memory="a copy of the network",
        source="Furlanello et al., ICML 2018",
    ),
    "cskd": MethodEntry(
        "CS-KD", "asc_mrkd.methods.cskd:Cskd", passes=lambda options: (2, 1), source="Yun et al., CVPR 2020"
    ),
    "ema_teacher": MethodEntry(
        "EMA teacher",
        "asc_mrkd.methods.ema_teacher:EmaTeacher",
        passes=lambda options: (2, 1),
        memory="a copy of the network",
        source="Tarvainen and Valpola, NeurIPS 2017",
    ),
    "dlb": MethodEntry(
        "DLB",
        "asc_mrkd.methods.dlb:Dlb",
        passes=lambda options: (2, 2),
        memory="the logits of a batch",
        source="Shen et al., CVPR 2022",
    ),
    "kd": MethodEntry(
        "KD",
        "asc_mrkd.methods.kd:Kd",
        passes=_passes_of_kd,
        memory="the teachers, or their logits of the training samples",
        source="Hinton et al., 2015",
        variants={"mrkd": Variant("KD + MrKD")},
        needs_teachers=True,
    ),
    "tfkd_reg": MethodEntry(
        "Tf-KD reg", "asc_mrkd.methods.tfkd_reg:TfkdReg", passes=lambda options: (1, 1), source="Yuan et al., CVPR 2020"
    ),
}
"""The methods by their names in an experiment, in the order of `asc-mrkd methods`."""

OWN_HINT = "write a subclass of asc_mrkd.methods.Method; asc-mrkd recipes cp template OUT shows one"
"""Hint for a file without a method."""


def method_entry(name: str) -> MethodEntry:
    """Return the row of a method; for a class in a file of the user one with the name of the class.

    Raises:
        ConfigError: unknown method.
    """
    code = parse_own(name)
    if code is not None:
        return MethodEntry(code.name, name, passes=lambda options: (1, 1))
    require_known(name, METHODS, "method")
    return METHODS[name]


def load_method_class(code: OwnCode) -> "type[Method]":
    """Run a file and return the method in it.

    Raises:
        ConfigError: the file is missing, it fails, or has no such method.
    """
    from asc_mrkd.methods.base import Method, parameters_with_default

    found = load_own(code, OWN_HINT)
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise ConfigError(f"{code.file}: {code.name} is not a method", OWN_HINT)
    for name, (annotation, default) in parameters_with_default(found).items():
        if annotation is inspect.Parameter.empty:
            kind = "float | None" if default is None else type(default).__name__
            raise ConfigError(
                f"{code.file}: the option '{name}' of {code.name} has no type", f"write {name}: {kind} = {default!r}"
            )
    try:
        found.options_schema().model_validate({})
    except Exception as error:  # of pydantic, of many types, for annotations that are not types
        raise ConfigError(
            f"{code.file}: an option of {code.name} has no usable type: {first_line(error)}", OWN_HINT
        ) from error
    _require_fitting_parameters(found, code)
    return found


def _require_fitting_parameters(method_class: "type[Method]", code: OwnCode) -> None:
    """Refuse a method that does not take the student first, or needs a value that nobody gives."""
    from asc_mrkd.methods.base import TrainingContext

    first = next(iter(inspect.signature(method_class).parameters.values()), None)
    if first is None or first.kind is first.KEYWORD_ONLY:
        raise ConfigError(f"{code.file}: {code.name} does not take the student as its first argument", OWN_HINT)
    known = [*(one.name for one in fields(TrainingContext)), "total_steps"]
    for name in context_parameters(method_class):
        if name not in known:
            raise ConfigError(
                f"{code.file}: {code.name} needs '{name}', which a run does not know; an option needs a default",
                suggest(name, known),
            )


def method_title(section: MethodConfig) -> str:
    """Return the name of a method in tables and figures, with its variant, as in `MrKD plain`.

    >>> method_title(MethodConfig(name="mrkd", variant="plain")), method_title(MethodConfig(name="ce"))
    ('MrKD plain', 'CE')
    """
    if section.name not in METHODS and parse_own(section.name) is None:
        return section.name
    entry = method_entry(section.name)
    variant = entry.variants.get(str(section.options.get("variant", "")))
    if variant is None:
        return entry.title
    return variant.title


def check_method(section: MethodConfig, source: str = "experiment") -> MethodConfig:
    """Return the section with every option filled in.

    Args:
        section: name of a method and some of its options.
        source: origin of the section, such as the path of a file, for the message of an error.

    Raises:
        ConfigError: unknown method or option (with a suggestion), or a value out of range.

    >>> check_method(MethodConfig(name="label_smoothing")).options
    {'epsilon': 0.1}
    """
    try:
        method_class = method_entry(section.name).method_class
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}", error.hint) from error.__cause__
    _require_known_options(section, source)
    checked: Any = parse(_section_schema(section.name, method_class), {"method": section.model_dump()}, source)
    return MethodConfig(**checked.method.model_dump())


def _require_known_options(section: MethodConfig, source: str) -> None:
    """Refuse an option that the method does not have; the hint names a similar one, or the methods that have it."""
    name = section.name
    known = option_names(name)
    for option in section.options:
        if option in known:
            continue
        message = f"{source}: unknown key 'method.{shorten(option)}': {name} takes {', '.join(known) or 'no options'}"
        close = difflib.get_close_matches(option, known, n=1)
        if close:
            raise ConfigError(message, f"did you mean 'method.{close[0]}'?")
        takers = [other for other in METHODS if option in option_names(other)]
        if takers:
            raise ConfigError(message, f"methods with {option}: {', '.join(takers)}")
        raise ConfigError(message, "asc-mrkd methods lists the options and their defaults")


def option_names(name: str) -> list[str]:
    """Return the names of the options of a method.

    >>> option_names("cskd")
    ['weight', 'temperature']
    """
    return list(method_entry(name).method_class.options_schema().model_fields)


def _section_schema(name: str, method_class: "type[Method]") -> type[Schema]:
    """Return the schema of an experiment with the section `method` alone, so that errors name keys as in a file."""
    options = method_class.options_schema()
    section = create_model("Section", __base__=options, name=(str, name))
    return create_model("MethodOnly", __base__=Schema, method=(section, ...))


def check_experiment(experiment: Experiment, source: str = "experiment") -> Experiment:
    """Return the experiment with every option of its method, and the SHA-256 of the user's files, filled in.

    Raises:
        ConfigError: as from `check_method`, another section does not go with the method, or this is something else.
    """
    if not isinstance(experiment, Experiment):
        raise ConfigError(f"{experiment!r} is not an experiment", "asc_mrkd.load_experiment(path) reads one")
    section = check_method(experiment.method, source)
    method_entry(section.name).method_class.check_experiment(section.options, experiment)
    return experiment.with_code().model_copy(update={"method": section})


def load_experiment(path: str | os.PathLike[str], overrides: list[str] | None = None) -> Experiment:
    """Read an experiment file for work: apply `section.key=value` overrides (values are YAML) and check every value.

    `config.load_experiment` reads the same file without torch: it leaves the options of the method unchecked.

    Raises:
        ConfigError: unreadable file, unknown key (with a suggestion), value out of range; or a preset among the
            overrides that options in the file outweigh.
    """
    experiment = check_experiment(config.load_experiment(path, overrides), str(path))
    _require_effective_preset(experiment.method, overrides or [], str(path))
    return experiment


def _require_effective_preset(section: MethodConfig, overrides: Sequence[str], source: str) -> None:
    """Refuse `method.preset=` where the file names other values, as the config.yaml of a run names those of its preset.

    Raises:
        ConfigError: these options are named.
    """
    changed = {override.partition("=")[0].strip() for override in overrides}
    if "method.preset" not in changed or section.options.get("preset") not in PRESETS:
        return
    preset = section.options["preset"]
    kept = {
        name: value
        for name, value in PRESETS[preset].items()
        if section.options[name] != value and f"method.{name}" not in changed
    }
    if kept:
        raise ConfigError(
            f"method.preset={preset} is outweighed by {', '.join(f'{name}={section.options[name]}' for name in kept)} "
            f"in {source}",
            f"add {' '.join(f'method.{name}={value}' for name, value in kept.items())}, or take them out of the file",
        )


def build_method(section: MethodConfig, model: "nn.Module", context: "TrainingContext") -> "Method":
    """Build a method around the student; it gets the fields of the context that its class asks for.

    Raises:
        ConfigError: as from `check_method`, the options do not fit the network, or a method of the user cannot be used.
    """
    from asc_mrkd.methods.base import require_method

    section = check_method(section)
    method_class: Any = method_entry(section.name).method_class
    asked = {name: getattr(context, name) for name in context_parameters(method_class)}
    method: Method = method_class(model, **asked, **section.options)
    require_method(method, model, section.name)
    return method


def context_parameters(method_class: "type[Method]") -> list[str]:
    """Return the parameters of a method that a `TrainingContext` has to give: those without a default."""
    _, *parameters = inspect.signature(method_class).parameters.values()
    return [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
