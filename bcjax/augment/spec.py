"""Reads how a config writes augmentations: "rotate(30, p=0.5)", "one_of(mixup(0.2), cutmix(1))"."""

import ast
import dataclasses
from collections.abc import Mapping

from bcjax.augment.op import Argument
from bcjax.config import nearest
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Spec:
    """One line of `augment.ops`, parsed.

    Attributes:
      text: The line as the user wrote it.
      name: The name of the augmentation.
      numbers: The arguments that are numbers, in order.
      inner: The arguments that are augmentations themselves, in order.
      options: The arguments given by name: numbers, or a tuple of names.
    """

    text: str
    name: str
    numbers: tuple[float, ...] = ()
    inner: tuple["Spec", ...] = ()
    options: Mapping[str, float | tuple[str, ...]] = dataclasses.field(default_factory=dict)


def parse(text: str) -> Spec:
    """Parses one line of `augment.ops`.

    Raises:
      UserError: The line is neither a name nor a call with numbers, names and calls.
    """
    try:
        return _spec(ast.parse(text.strip(), mode="eval").body, text)
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f"config.augment.ops has {text!r}: write a name, or name(magnitude, option=...), such "
            "as 'rotate(30, p=0.5)'."
        ) from error


def _spec(node: ast.expr, text: str) -> Spec:
    if isinstance(node, ast.Name):
        return Spec(text, node.id)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError
    numbers = [_number(each) for each in node.args if not _is_spec(each)]
    inner = [_spec(each, ast.unparse(each)) for each in node.args if _is_spec(each)]
    options = {str(each.arg): _option(each.value) for each in node.keywords}
    return Spec(text, node.func.id, tuple(numbers), tuple(inner), options)


def _is_spec(node: ast.expr) -> bool:
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


def numbers(spec: Spec, parameters: Mapping[str, Argument]) -> dict[str, float]:
    """Returns the value of each parameter: as given by place or by name, or its default.

    Args:
      spec: The parsed line.
      parameters: The numbers that the augmentation takes, in the order of the call.

    Raises:
      UserError: An argument is unknown, is given twice or is out of its range.
    """
    given = dict(zip(parameters, spec.numbers, strict=False))
    signature = f"{spec.name}({', '.join(parameters)})"
    if spec.inner:
        raise UserError(
            f"config.augment.ops has {spec.text!r}: {spec.inner[0].text} is no number; it is "
            f"{signature}."
        )
    if len(spec.numbers) > len(parameters) or set(given) & set(spec.options):
        raise UserError(f"config.augment.ops has {spec.text!r}: it is {signature}.")
    for name, value in spec.options.items():
        if name not in parameters or isinstance(value, tuple):
            raise UserError(
                f"config.augment.ops has {spec.text!r}: {signature} takes no {name!r}"
                f"{nearest(name, list(parameters))}"
            )
        given[name] = value
    for name, value in given.items():
        allowed = parameters[name]
        if not allowed.low <= value <= allowed.high:
            unit = f" ({allowed.unit})" if allowed.unit else ""
            raise UserError(
                f"config.augment.ops has {spec.text!r}: the {name} of {spec.name} must be from "
                f"{allowed.low:g} to {allowed.high:g}{unit}."
            )
    return {name: float(given.get(name, allowed.default)) for name, allowed in parameters.items()}
