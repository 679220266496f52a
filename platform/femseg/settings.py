"""params.yaml, checked once: a section in, a frozen dataclass out, or a sentence that names the key."""

import dataclasses
import functools
import json
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from femseg.errors import Fault, Refusal, words_of
from femseg.files.plain import open_plain
from femseg.paths import PARAMS

# YAML that costs what its length says: no alias that multiplies, no endless depth, no key that is there twice.
#
# PyYAML alone takes the last of two equal keys, and hands out a document of a few hundred bytes that has a billion
# values once its aliases are followed.


DEPTH_AT_MOST = 32
VALUES_AT_MOST = 20_000  # with every alias followed


class BadYaml(ValueError):
    """The text is no YAML, or none of settings; says where."""


class _Yaml12(yaml.SafeLoader):
    """Plain words by YAML 1.2, as DVC reads and writes them: 3e-05 is a number, `on` a word, 010 ten."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - filled below, with none of YAML 1.1's

    def decimal(self, node: yaml.ScalarNode) -> int:
        """010 is ten; what begins with 0b, 0o or 0x says its base."""
        digits = str(self.construct_scalar(node)).replace("_", "")
        return int(digits, 0 if re.match("[-+]?0[box]", digits) else 10)


for _kind, _words, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?0b[01_]+|[-+]?0o[0-7_]+|[-+]?0x[0-9a-fA-F_]+|[-+]?[0-9][0-9_]*", "-+0123456789"),
    (
        "float",
        r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|[-+]?\.[0-9][0-9_]*([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", "<<", "<"),
    ("timestamp", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "0123456789"),
):
    _Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_words})$"), list(_first))
_Yaml12.add_constructor("tag:yaml.org,2002:int", _Yaml12.decimal)


def load_bounded(text: str, *, values_at_most: int = VALUES_AT_MOST) -> Any:
    """Plain values of a YAML document. Raises: BadYaml."""
    try:
        loader = _Yaml12(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _check(root, values_at_most)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except BadYaml:
        raise
    except RecursionError:
        raise BadYaml("nested too deeply") from None
    except Exception as error:  # PyYAML meets odd values with TypeError, KeyError, AttributeError and others
        raise BadYaml(words_of(error)) from None


def _check(root: yaml.Node, values_at_most: int) -> None:
    """Look at every value as often as aliases repeat it, before anything is made of them."""
    waiting: list[tuple[yaml.Node, int]] = [(root, 0)]
    seen = 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if depth > DEPTH_AT_MOST:
            raise BadYaml(f"nested more than {DEPTH_AT_MOST} deep at line {node.start_mark.line + 1}")
        if seen > values_at_most:
            raise BadYaml(f"more than {values_at_most} values, aliases followed, at line {node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            _refuse_doubles(node)
            waiting += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(part, depth + 1) for part in node.value]


def _refuse_doubles(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise BadYaml(f"a key that is no word at line {key.start_mark.line + 1}")
        here = key.start_mark.line + 1
        if key.value in lines:
            raise BadYaml(f"key '{key.value[:100]}' at line {here} is there twice, first at line {lines[key.value]}")
        lines[key.value] = here


Settings = TypeVar("Settings")

SECTIONS = (
    "input_modes",
    "cohort",
    "phantom",
    "synthetic",
    "painting",
    "arrays",
    "patches",
    "split",
    "network",
    "optimisation",
    "search",
    "train",
    "refine",
    "repeats",
    "compare",
    "storage",
)
REFINE_SECTIONS = ("input_modes", "trainings", "arrays", "patches", "network", "optimisation", "search", "train")
PARAMS_AT_MOST_BYTES = 1 << 17
_SHOWN_CHARACTERS = 200


@functools.cache
def _adapter(settings_type: Any) -> TypeAdapter[Any]:
    """Building one takes half a millisecond: too long for each of thousands of cases."""
    return TypeAdapter(settings_type)


def _usage_fault(file: Path | str, problem: str, fix: str) -> Fault:
    return Fault("CFG-01", file, problem, fix)


def _unknown_keys(settings: Any, given: Any, where: str) -> list[str]:
    """Keys of `given` that the checked dataclass does not have, at any depth."""
    if not (dataclasses.is_dataclass(settings) and isinstance(given, dict)):
        return []
    names = {field.name for field in dataclasses.fields(settings)}
    unknown = [f"{where}.{key}" for key in given if key not in names]
    for name in names & set(given):
        unknown += _unknown_keys(getattr(settings, name), given[name], f"{where}.{name}")
    return unknown


def _path_in(given: Any, location: tuple[int | str, ...]) -> list[str]:
    """The part of pydantic's error location that is in the data; what follows names a member of a union."""
    path: list[str] = []
    for part in location:
        is_key = isinstance(given, dict)
        if not is_key and not (isinstance(given, list) and isinstance(part, int)):
            break
        path.append(str(part))
        given = given.get(part) if is_key else given[part] if int(part) < len(given) else None
    return path


def checked(settings_type: type[Settings], given: Any, *, where: str, file: Path | str = PARAMS) -> Settings:
    """Turn plain data into a frozen settings dataclass.

    Args:
        settings_type: a frozen dataclass; its `__post_init__` raises ValueError on values out of range.
        given: what YAML or JSON held.
        where: name of the section, for messages ("train").
    Raises: Refusal (exit 2) naming every wrong key with what was found and expected.
    """
    try:
        settings: Settings = _adapter(settings_type).validate_json(  # type: ignore[arg-type]  # mypy: no class is hashable
            json.dumps(given, allow_nan=False), strict=True
        )
    except ValidationError as error:
        messages: dict[str, list[str]] = {}
        for item in error.errors(include_url=False):
            key = ".".join([where, *_path_in(given, item["loc"])])
            hint = "; in quotes it is text" if _is_number(item["input"]) else ""
            found = "" if isinstance(item["input"], dict) else f", got {_short(item['input'])}{hint}"
            messages.setdefault(f"{key}: {{}}{found}", []).append(item["msg"].removeprefix("Value error, "))
        faults = [
            _usage_fault(file, words.replace("{}", ", or: ".join(reasons), 1), "correct this setting")
            for words, reasons in messages.items()
        ]
        raise Refusal(faults) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise Refusal(_usage_fault(file, f"{where}: {_short(error)}", "use plain YAML values")) from None
    unknown = [f"{key[:100]}: unknown setting" for key in _unknown_keys(settings, given, where)]
    if unknown:
        raise Refusal([_usage_fault(file, problem, "remove it or correct its name") for problem in unknown[:20]])
    return settings


def _is_number(value: Any) -> bool:
    """Whether it is a text that would be a number without its quotes."""
    return isinstance(value, str) and not isinstance(load_bounded(value) if len(value) < 40 else "", str)


def _short(value: Any) -> str:
    """A value or an error as it is written, cut where nobody reads on."""
    words = str(value) if isinstance(value, Exception) else repr(value)
    return words if len(words) <= _SHOWN_CHARACTERS else f"{words[:_SHOWN_CHARACTERS]}…"


def read_section(settings_type: type[Settings], section: str, *, file: Path = PARAMS) -> Settings:
    """Read and check one section of params.yaml, or one below `refine` ("refine.train").

    Raises: Refusal (exit 2), also for sections that there are not.
    """
    document, below = _document(file), ""
    known: tuple[str, ...] = SECTIONS
    *outer, name = section.split(".")
    for each in (*outer, name):
        if not isinstance(document, dict) or each not in document:
            raise Refusal(_usage_fault(file, f"section '{section}' is missing", f"add `{section}:`"))
        if unknown := [str(key)[:100] for key in document if key not in known]:
            fix = f"remove it or correct its name; there are {', '.join(known)}"
            raise Refusal([_usage_fault(file, f"{below}{key}: unknown section", fix) for key in unknown[:20]])
        document, known, below = document[each], REFINE_SECTIONS, f"{each}."
    return checked(settings_type, {} if document is None else document, where=section, file=file)


def has_section(section: str, *, file: Path = PARAMS) -> bool:
    """Whether params.yaml has a section, or one below `refine`: some may do without another's. Raises: Refusal."""
    document = _document(file)
    for name in section.split("."):
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return True


def read_whole(settings_type: type[Settings], name: str, *, file: Path) -> Settings:
    """Read and check a settings file that is one section. Raises: Refusal (exit 2)."""
    document = _document(file)
    return checked(settings_type, {} if document is None else document, where=name, file=file)


def _document(file: Path) -> Any:
    """What a YAML file holds, within bounds."""
    try:
        with open_plain(file) as stream:
            content = stream.read(PARAMS_AT_MOST_BYTES + 1)
        if len(content) > PARAMS_AT_MOST_BYTES:
            raise BadYaml(f"more than {PARAMS_AT_MOST_BYTES} bytes")
        return load_bounded(content.decode("utf-8"))
    except FileNotFoundError:
        raise Refusal(_usage_fault(file, "no such file", "run from the repository's root")) from None
    except OSError as error:
        raise Refusal(_usage_fault(file, f"cannot be read: {error.strerror}", "give a YAML file")) from None
    except (BadYaml, UnicodeDecodeError) as error:
        raise Refusal(_usage_fault(file, f"is no valid YAML ({_short(error)})", "correct it")) from None


def as_plain(settings: Any) -> Any:
    """A settings dataclass as JSON values (tuples become lists): for fingerprints, packages and tracking."""
    return json.loads(_adapter(type(settings)).dump_json(settings))  # type: ignore[arg-type]
