"""Expressions: what people may write, and the laws of what is unknown."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules.expression import Truth, all_of, any_of, negation, parse_expression

TRUTHS: list[Truth] = [True, False, None]
truths = st.sampled_from(TRUTHS)
several = st.lists(truths, min_size=1, max_size=5)
names = st.sampled_from(["a", "b", "c"])
texts = st.recursive(
    names,
    lambda inner: (
        inner.map(lambda one: f"not ({one})")
        | st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda one: f"({one[0]}) {one[1]} ({one[2]})")
    ),
    max_leaves=6,
)


def settled(values: list[Truth]) -> list[list[bool]]:
    """Every way in which the unknown may turn out."""
    return [list(one) for one in itertools.product(*([True, False] if v is None else [v] for v in values))]


@given(several)
def test_and_or_say_what_is_so_however_the_unknown_turns_out(values: list[Truth]) -> None:
    for judge, plain in ((all_of, all), (any_of, any)):
        possible = {plain(one) for one in settled(values)}
        assert judge(values) is (possible.pop() if len(possible) == 1 else None)


@given(several)
def test_de_morgan(values: list[Truth]) -> None:
    assert negation(all_of(values)) is any_of(negation(value) for value in values)
    assert negation(any_of(values)) is all_of(negation(value) for value in values)


@given(texts, truths, truths, truths)
def test_what_becomes_unknown_never_turns_an_answer_round(text: str, a: Truth, b: Truth, c: Truth) -> None:
    """Knowing less may make an answer unknown, and never makes true false or false true."""
    expression = parse_expression(text)
    before = expression.judge({"a": a, "b": b, "c": c})
    for less in ("a", "b", "c"):
        after = expression.judge({"a": a, "b": b, "c": c} | {less: None})
        assert after is before or after is None


@given(texts, st.fixed_dictionaries({"a": truths, "b": truths, "c": truths}))
def test_an_expression_agrees_with_python_where_all_is_known(text: str, values: dict[str, Truth]) -> None:
    expression = parse_expression(text)
    if None not in values.values():
        assert expression.judge(values) is eval(text, {}, dict(values))  # noqa: S307 - the reference


@given(texts, st.fixed_dictionaries({"a": truths, "b": truths, "c": truths}))
def test_without_what_it_needs_it_is_not_true(text: str, values: dict[str, Truth]) -> None:
    expression = parse_expression(text)
    for name in expression.needed:
        for without in (False, None):
            assert expression.judge(values | {name: without}) is not True


def test_what_is_needed() -> None:
    assert parse_expression("a and (b or c)").needed == {"a"}
    assert parse_expression("(a and b) or (b and c)").needed == {"b"}
    assert parse_expression("a and not b").needed == {"a"}
    assert parse_expression("not a").needed == set()
    assert parse_expression("a and (b or c)").names == {"a", "b", "c"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a and",
        "a + b",
        "a < 3",
        "f(a)",
        "a.b",
        "1",
        "a if b else c",
        "-a",
        "[a]",
        "lambda: a",
        "a\0",
        "a; b",
        "__import__('os')",
    ],
)
def test_anything_else_is_refused_and_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a name nor|is no expression") as raised:
        parse_expression(text)
    assert repr(text) in str(raised.value)
