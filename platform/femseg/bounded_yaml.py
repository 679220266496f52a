"""YAML that costs what its length says: no alias that multiplies, no endless depth, no key that is there twice.

PyYAML alone takes the last of two equal keys, and hands out a document of a few hundred bytes that has a billion values
once its aliases are followed.
"""

from typing import Any

import yaml

DEPTH_AT_MOST = 32
VALUES_AT_MOST = 20_000  # with every alias followed


class BadYaml(ValueError):
    """The text is no YAML, or none of settings; says where."""


def load_bounded(text: str, *, values_at_most: int = VALUES_AT_MOST) -> Any:
    """Plain values of a YAML document. Raises: BadYaml."""
    try:
        loader = yaml.SafeLoader(text)
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
        raise BadYaml(" ".join(str(error).split()) or type(error).__name__) from None


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
