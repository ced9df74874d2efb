"""Values of PromQL expressions over a few series: those operators and functions that the tested alerts use."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import promql_parser

Series = Mapping[str, float]
"""Values by instance. The result of an aggregation has the instance ""."""
_FILTERS: Mapping[str, Callable[[float, float], bool]] = {">": operator.gt, "==": operator.eq}


def _quotient(part: float, all_: float) -> float:
    """Return part / all_ as Prometheus does: 0 / 0 is NaN."""
    if all_:
        return part / all_
    return math.inf if part else math.nan


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {"/": _quotient}


def series_of(expression: str, samples: Mapping[str, Series]) -> Series:
    """Return the series of an expression. `samples` are those of each metric; without an entry, it has none.

    A metric with a label `reason` has an entry for each, such as `metric{reason="overloaded"}`. The value under
    `rate`, `increase` or `changes` is that of the function.
    """
    return _vector(promql_parser.parse(expression), samples)


def _vector(node: Any, samples: Mapping[str, Series]) -> Series:
    match node:
        case promql_parser.VectorSelector():
            return _selected(node, samples)
        case promql_parser.MatrixSelector():
            return _selected(node.vector_selector, samples)
        case promql_parser.Call():
            return _called(node, samples)
        case promql_parser.ParenExpr():
            return _vector(node.expr, samples)
        case promql_parser.AggregateExpr() if str(node.op) == "sum":
            values = _vector(node.expr, samples).values()
            return {"": sum(values)} if values else {}
        case promql_parser.BinaryExpr() if str(node.op) == "or":
            return {**_vector(node.rhs, samples), **_vector(node.lhs, samples)}
        case promql_parser.BinaryExpr():
            return _compared(str(node.op), _vector(node.lhs, samples), node.rhs, samples)
    raise NotImplementedError(f"{node}")


def _called(node: Any, samples: Mapping[str, Series]) -> Series:
    """Return the series of a function. The lower one of NaN and a maximum is NaN, as in Prometheus."""
    series = _vector(node.args[0], samples)
    match node.func.name:
        case "rate" | "increase" | "changes":
            return series
        case "clamp_max":
            most = float(node.args[1].val)
            return {instance: min(value, most) for instance, value in series.items()}
        case "absent":
            return {} if series else {"": 1.0}
    raise NotImplementedError(f"{node}")


def _selected(selector: Any, samples: Mapping[str, Series]) -> Series:
    """Return the series of a selector. Those with a reason have it before the instance."""
    reasons = [
        reason for each in selector.matchers.matchers if each.name == "reason" for reason in each.value.split("|")
    ]
    if not reasons:
        return samples.get(str(selector.name), {})
    return {
        f"{reason} {instance}": value
        for reason in reasons
        for instance, value in samples.get(f'{selector.name}{{reason="{reason}"}}', {}).items()
    }


def _compared(sign: str, left: Series, node: Any, samples: Mapping[str, Series]) -> Series:
    if isinstance(node, promql_parser.NumberLiteral):
        right: Series = dict.fromkeys(left, float(node.val))
    else:
        right = _vector(node, samples)
    both = {instance: value for instance, value in left.items() if instance in right}
    if sign in _FILTERS:
        return {instance: value for instance, value in both.items() if _FILTERS[sign](value, right[instance])}
    return {instance: _ARITHMETIC[sign](value, right[instance]) for instance, value in both.items()}
