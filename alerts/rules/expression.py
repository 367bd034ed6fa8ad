"""Expressions over named inputs: `running and not falling`. Three-valued (Kleene): what is unknown stays unknown unless
the rest decides; it neither raises an alarm nor ends one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

Truth = bool | None
"""None: unknown."""


def all_of(truths: Iterable[Truth]) -> Truth:
    """One false decides; else one unknown leaves it open."""
    known: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            known = None
    return known


def any_of(truths: Iterable[Truth]) -> Truth:
    """One true decides; else one unknown leaves it open."""
    return negation(all_of(negation(truth) for truth in truths))


def negation(truth: Truth) -> Truth:
    return None if truth is None else not truth


@dataclass(frozen=True)
class Expression:
    """`and`, `or`, `not`, brackets and names, as people write them."""

    text: str
    _tree: ast.expr

    @property
    def names(self) -> frozenset[str]:
        return frozenset(node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name))

    @property
    def needed(self) -> frozenset[str]:
        """Inputs without which it can't be true: where one of them is not, no other need be asked."""
        return _needed(self._tree)

    def judge(self, truths: Mapping[str, Truth]) -> Truth:
        return _judge(self._tree, truths)


@cache
def parse_expression(text: str) -> Expression:
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):  # ValueError: a NUL character
        raise ValueError(f"{text!r} is no expression of names with and, or, not and brackets") from None
    allowed = (ast.BoolOp, ast.UnaryOp, ast.Not, ast.And, ast.Or, ast.Name, ast.Load)
    foreign = next((node for node in ast.walk(tree) if not isinstance(node, allowed)), None)
    if foreign is not None:
        raise ValueError(f"{text!r}: a {type(foreign).__name__} is neither a name nor and, or, not")
    return Expression(text, tree)


def _judge(tree: ast.expr, truths: Mapping[str, Truth]) -> Truth:
    match tree:
        case ast.Name(id=name):
            return truths[name]
        case ast.UnaryOp(operand=operand):
            return negation(_judge(operand, truths))
        case ast.BoolOp(op=ast.And(), values=values):
            return all_of(_judge(value, truths) for value in values)
        case ast.BoolOp(values=values):
            return any_of(_judge(value, truths) for value in values)
        case _:
            raise TypeError(f"{ast.dump(tree)} has been let through by parse_expression")


def _needed(tree: ast.expr) -> frozenset[str]:
    match tree:
        case ast.Name(id=name):
            return frozenset([name])
        case ast.BoolOp(op=ast.And(), values=values):
            return frozenset[str]().union(*(_needed(value) for value in values))
        case ast.BoolOp(values=values):
            return frozenset.intersection(*(_needed(value) for value in values))
        case _:
            return frozenset()
