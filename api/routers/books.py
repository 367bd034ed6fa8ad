"""The books: what was received, and what became of it. They balance."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool
from api.models.records import Balance, BookMinute, BooksPage, BooksTotals, ShardTotal, Tally
from api.parameters import Paged, ShardName, Span
from api.roles import V1
from api.rows import fetch_all, one_page

router = APIRouter(prefix=f"{V1}/books", tags=["books"], route_class=GuardedRoute)


class TotalsQuestion(Span):
    """`from` and `to` bound the minute of commit."""

    shard: ShardName | None = Field(None, description="Only of this shard", examples=["main"])


class BooksFilters(Paged, TotalsQuestion):
    """`from` and `to` bound the minute of commit."""


@router.get("", summary="The books minute by minute, newest first")
def list_books(pool: Pool, filters: Annotated[BooksFilters, Query()]) -> BooksPage:
    """One line a minute and shard."""
    reached, reached_shard = None, None
    if filters.cursor is not None:
        reached, reached_shard = redeem(filters, "books", filters.cursor, (datetime, str))
    with pool.connection() as connection:
        rows = fetch_all(
            connection,
            "api_books.list_books",
            filters.bounds
            | {
                "shard": filters.shard,
                "reached": reached,
                "reached_shard": reached_shard,
                "limit": filters.limit + 1,
            },
        )
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "books", (row["minute"], row["shard"])))
    return BooksPage(items=[BookMinute.model_validate(row) for row in rows], next=following)


@router.get("/totals", summary="The books over a time range, and whether they balance")
def total_books(pool: Pool, question: Annotated[TotalsQuestion, Query()]) -> BooksTotals:
    """Sums by shard and over all. `balanced` is false when something was lost, or counted that never came."""
    with pool.connection() as connection:
        rows = fetch_all(connection, "api_books.total_books", question.bounds | {"shard": question.shard})
    shards = [ShardTotal.model_validate(row) for row in rows]
    total = Tally.model_validate({name: sum(getattr(each, name) for each in shards) for name in Tally.model_fields})
    balance = Balance(balanced=all(each.difference == 0 for each in shards), difference=total.difference)
    return BooksTotals(total=total, balance=balance, shards=shards)
