"""Reads how a config writes augmentations: "rotate(30, p=0.5)", "one_of(mixup(0.2), cutmix(1))"."""

import ast
import dataclasses
from collections.abc import Mapping

from bcjax.augment.op import Range
from bcjax.config import nearest
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Call:
    """An augmentation as it is written.

    Attributes:
      text: What the user wrote.
      name: Of the augmentation.
      numbers: Arguments in order.
      calls: Arguments that are themselves calls, in order.
      options: Arguments by name: numbers, or names in a tuple.
    """

    text: str
    name: str
    numbers: tuple[float, ...] = ()
    calls: tuple["Call", ...] = ()
    options: Mapping[str, float | tuple[str, ...]] = dataclasses.field(default_factory=dict)


def parse(text: str) -> Call:
    """Reads one entry of `augment.ops`.

    Raises:
      UserError: If it is not written as a name, or as a call with numbers, names and calls.
    """
    try:
        return _call(ast.parse(text.strip(), mode="eval").body, text)
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f"config.augment.ops has {text!r}: write a name, or name(magnitude, option=...), such "
            "as 'rotate(30, p=0.5)'."
        ) from error


def _call(node: ast.expr, text: str) -> Call:
    if isinstance(node, ast.Name):
        return Call(text, node.id)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError
    numbers = [_number(each) for each in node.args if not _is_call(each)]
    calls = [_call(each, ast.unparse(each)) for each in node.args if _is_call(each)]
    options = {str(each.arg): _option(each.value) for each in node.keywords}
    return Call(text, node.func.id, tuple(numbers), tuple(calls), options)


def _is_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Name | ast.Call)


def _option(node: ast.expr) -> float | tuple[str, ...]:
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(str(getattr(each, "id", None) or ast.literal_eval(each)) for each in node.elts)
    return _number(node)


def _number(node: ast.expr) -> float:
    value = ast.literal_eval(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return float(value)


def numbers(call: Call, takes: Mapping[str, Range]) -> dict[str, float]:
    """Returns the value of each argument that a call `takes`, in or out of place, or its default.

    Raises:
      UserError: Naming an argument that it does not take, one given twice, or one out of range.
    """
    given = dict(zip(takes, call.numbers, strict=False))
    signature = f"{call.name}({', '.join(takes)})"
    if len(call.numbers) > len(takes) or set(given) & set(call.options):
        raise UserError(f"config.augment.ops has {call.text!r}: it is {signature}.")
    for name, value in call.options.items():
        if name not in takes or isinstance(value, tuple):
            raise UserError(
                f"config.augment.ops has {call.text!r}: {signature} takes no {name!r}"
                f"{nearest(name, list(takes))}"
            )
        given[name] = value
    for name, value in given.items():
        allowed = takes[name]
        if not allowed.low <= value <= allowed.high:
            unit = f" ({allowed.unit})" if allowed.unit else ""
            raise UserError(
                f"config.augment.ops has {call.text!r}: the {name} of {call.name} must be from "
                f"{allowed.low:g} to {allowed.high:g}{unit}."
            )
    return {name: float(given.get(name, allowed.default)) for name, allowed in takes.items()}
