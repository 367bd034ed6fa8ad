"""A device's reports (上报): as they came, or by bucket of time; as JSON, or as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, find_device
from api.models.series import Series
from api.parameters import CITY_ZONE, DeviceIdPath, Span, Text
from api.problems import invalid, not_found
from api.roles import V1
from api.rows import Row
from api.series import (
    WIDTHS,
    Fill,
    bucket_items,
    columns_of,
    fill_gaps,
    read_buckets,
    read_reports,
    report_item,
    statistics,
    window,
)
from underfoot.clock import CLOCK
from underfoot.families import FAMILIES, Column, Family
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/devices/{{device_id}}/reports", tags=["reports"], route_class=GuardedRoute)

BucketName = Literal["1m", "5m", "10m", "15m", "30m", "1h", "3h", "6h", "12h", "1d", "7d", "1mo"]


class ReportsQuestion(Span):
    order: Literal["desc", "asc"] | None = Field(
        None, description="Of reports: newest first (`desc`, the default) or oldest first. Buckets are oldest first"
    )
    bucket: BucketName | None = Field(
        None, description="Count by buckets of this width, which needs `from`; days and months are Asia/Shanghai's"
    )
    fill: Fill | None = Field(
        None,
        description="With `bucket`: also show buckets without reports (`empty`), there carry `last` on (`previous`),"
        " or interpolate `avg` (`linear`). The whole range must then fit in `limit`",
    )
    max_gap_s: int | None = Field(
        None, ge=1, le=366 * 86_400, description="With `fill`: longer gaps stay empty; by default 3 expected intervals"
    )
    fields: list[Text] = Field(
        default_factory=list, description="Only these fields; repeat for several", examples=[["tilt_deg"]]
    )
    format: Literal["json", "csv"] = Field(
        "json", description="CSV has its times in +08:00 and `next` in the Link header"
    )
    limit: int = Field(1000, ge=1, le=10_000, description="At most so many items", examples=[1000])
    cursor: str | None = Field(None, max_length=400, description="`next` of the page before, unchanged")


class Found:
    """The device that is asked about."""

    def __init__(self, row: Row, wanted: list[str]) -> None:
        self.key: int = row["device_key"]
        self.device_id: str = row["device_id"]
        self.interval = timedelta(seconds=row["expected_interval_s"])
        self.family: Family = FAMILIES[row["family"]]
        try:
            self.columns: list[Column] = columns_of(self.family.name, wanted)
        except KeyError as missing:
            allowed = ", ".join(self.family.fields)
            raise invalid("fields", missing.args[0], f"the family {self.family.name} has {allowed}") from None

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


@router.get(
    "",
    summary="A device's reports",
    response_model=Series,
    responses={
        200: {
            "content": {"text/csv": {"schema": {"type": "string"}, "example": "ts,received_at,seq,quality,tilt_deg\n"}}
        }
    },
)
def list_reports(
    pool: Pool,
    caller: WhoCalls,
    request: Request,
    device_id: DeviceIdPath,
    question: Annotated[ReportsQuestion, Query()],
) -> Response:
    """Reports as they came, or counted by `bucket`: count, min, max, avg, sum and last of each field.

    A page of buckets covers `limit` buckets of time; those without reports are left out unless `fill` is given.
    """
    _consistent(question)
    with pool.connection() as connection:
        row = find_device(connection, caller.scope, device_id)
        if row is None:
            raise not_found(f"device {device_id!r}")
        device = Found(row, question.fields)
        read = _raw if question.bucket is None else _bucketed
        items, following = read(connection, device, question)
    if question.format == "csv":
        return _csv(request, device, question, items, following)
    answer = {
        "device_id": device.device_id,
        "family": device.family.name,
        "bucket": question.bucket,
        "fields": [
            {"name": column.name, "label": column.label, "unit": column.unit, "choices": column.choices}
            for column in device.columns
        ],
        "items": items,
        "next": following,
    }
    return Response(
        orjson.dumps(answer, option=orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )


def _consistent(question: ReportsQuestion) -> None:
    if question.bucket is None:
        for name in ("fill", "max_gap_s"):
            if getattr(question, name) is not None:
                raise invalid(name, getattr(question, name), "only together with `bucket`")
        return
    if question.from_ is None:
        raise invalid("from", None, "needed with `bucket`: a time like 2026-07-01T00:00:00+08:00")
    if question.order == "desc":
        raise invalid("order", "desc", "buckets are oldest first: leave `order` out, or `asc`")
    if question.max_gap_s is not None and question.fill in (None, "empty"):
        raise invalid("max_gap_s", question.max_gap_s, "only together with `fill=previous` or `fill=linear`")
    if question.fill is not None and question.cursor is not None:
        raise invalid("cursor", question.cursor, "a filled series has one page: leave `cursor` out")


def _raw(connection: Connection, device: Found, question: ReportsQuestion) -> tuple[list[Row], str | None]:
    reached, digest = None, None
    if question.cursor is not None:
        reached, digest = redeem(question, device.device_id, question.cursor, (datetime, int))
    rows = read_reports(
        connection,
        device.family,
        device.columns,
        question.order or "desc",
        question.bounds | {"device_key": device.key, "reached": reached, "digest": digest, "limit": question.limit + 1},
    )
    following = None
    if len(rows) > question.limit:
        rows.pop()
        following = issue(question, device.device_id, (rows[-1][0], rows[-1][1]))
    return [report_item(row, device.names) for row in rows], following


def _bucketed(connection: Connection, device: Found, question: ReportsQuestion) -> tuple[list[Row], str | None]:
    width = WIDTHS[question.bucket or "1h"]
    begin = question.from_ or CLOCK.now()
    end = question.to or max(CLOCK.now(), begin)
    if question.cursor is not None:
        (begin,) = redeem(question, device.device_id, question.cursor, (datetime,))
    first, past = window(connection, width, begin, question.limit)
    if question.fill is not None and past < end:
        needed = -((first - end) // width.about)
        raise invalid(
            "limit",
            question.limit,
            f"with `fill` the whole range must fit, which has about {needed} buckets of {question.bucket}:"
            " take a larger limit (10000 at most), a larger bucket or a shorter range",
        )
    frame = read_buckets(
        connection,
        device.family,
        device.columns,
        width,
        {"device_key": device.key, "from": begin, "to": min(end, past)},
    )
    if question.fill is not None:
        max_gap = timedelta(seconds=question.max_gap_s) if question.max_gap_s is not None else 3 * device.interval
        frame = fill_gaps(frame, device.columns, question.fill, width, (first, end), max_gap)
    following = issue(question, device.device_id, (past,)) if past < end else None
    return bucket_items(frame, device.columns), following


def _csv(
    request: Request, device: Found, question: ReportsQuestion, items: list[Row], following: str | None
) -> Response:
    """For a spreadsheet: the city's time, a byte-order mark, one row an item."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if question.bucket is None:
        writer.writerow(["ts", "received_at", "seq", "quality", *device.names, "extra"])
        for item in items:
            values = [_cell(item["values"].get(name)) for name in device.names]
            extra = orjson.dumps(item["extra"]).decode() if item["extra"] else ""
            row = [
                _local(item["ts"]),
                _local(item["received_at"]),
                item["seq"],
                "|".join(item["quality"]),
                *values,
                extra,
            ]
            writer.writerow(row)
    else:
        parts = [(column.name, each) for column in device.columns for each in statistics(column)]
        writer.writerow(["ts", "reports", *(f"{name}.{each}" for name, each in parts)])
        for item in items:
            values = [_cell(item["values"][name][each]) for name, each in parts]
            writer.writerow([_local(item["ts"]), item["reports"], *values])
    headers = {"Content-Disposition": f'attachment; filename="{device.device_id}.csv"'}
    if following is not None:
        headers["Link"] = f'<{request.url.path}?{request.url.include_query_params(cursor=following).query}>; rel="next"'
    return Response(text.getvalue().encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)


def _local(moment: datetime) -> str:
    return moment.astimezone(CITY_ZONE).isoformat()


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
