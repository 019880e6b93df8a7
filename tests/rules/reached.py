"""Which rules a case's series can reach, so that promtool evaluates no others.

A rule is left out where its expression cannot give a sample, whatever the values are: promtool
would evaluate it at every minute for nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import promql_parser as promql

FROM_NOTHING = {"absent", "absent_over_time", "scalar", "time", "vector"}
"""Functions that give a sample where their argument has none."""
ALERTS = ("ALERTS", "ALERTS_FOR_STATE")

Has = Callable[[promql.VectorSelector], bool]
parse = cache(promql.parse)


def reached(groups: list[dict[str, Any]], selectors: Iterable[str]) -> list[dict[str, Any]]:
    """The groups with the rules that these series, and what the rules make of them, can reach."""
    series = defaultdict(list)
    for selector in map(promql.parse, selectors):
        series[selector.name].append(equal_labels(selector))
    made: set[str] = set()

    def has(selector: promql.VectorSelector) -> bool:
        wanted = equal_labels(selector).items()
        return selector.name in made or any(
            all(labels.get(name, "") == value for name, value in wanted)
            for labels in series.get(selector.name, ())
        )

    rules = [rule for group in groups for rule in group["rules"]]
    kept: list[dict[str, Any]] = []
    while added := [r for r in rules if r not in kept and can_give(parse(r["expr"]), has)]:
        kept += added
        made.update(*([rule["record"]] if "record" in rule else ALERTS for rule in added))
    shorter = [{**group, "rules": [r for r in group["rules"] if r in kept]} for group in groups]
    return [group for group in shorter if group["rules"]]


def equal_labels(selector: promql.VectorSelector) -> dict[str, str]:
    """The labels that have to be equal to a value; other matchers are taken to match."""
    matchers = selector.matchers.matchers
    return {m.name: m.value for m in matchers if m.op == promql.MatchOp.Equal}


def can_give(node: promql.Expr, has: Has) -> bool:
    """Whether an expression can give a sample; `has` tells whether a selector can."""
    match node:
        case promql.VectorSelector():
            return has(node)
        case promql.MatrixSelector():
            return has(node.vector_selector)
        case promql.NumberLiteral() | promql.StringLiteral():
            return True
        case promql.Call():
            return node.func.name in FROM_NOTHING or all(can_give(arg, has) for arg in node.args)
        case promql.BinaryExpr():
            left, right = can_give(node.lhs, has), can_give(node.rhs, has)
            return {"or": left or right, "unless": left}.get(str(node.op), left and right)
        case _:  # aggregations, parentheses, subqueries, signs
            return can_give(node.expr, has)
