"""Cases as they are when they have been filed: the alarm, its case, and what a platform is owed of it."""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.channels.platform.verifiers.incoming import Incoming
from tests.integration.owing import Owing, snapshot

TOKEN = "s3cret-token"


class Filing(Owing):
    """Writes to one test's database."""

    def platform(self, name: str = "wuhu", url: str = "http://127.0.0.1:9/events", **config: Any) -> int:
        """A platform that calls back, signing with TOKEN."""
        given = {"callbacks": {"signer": {"kind": "tif", "token": TOKEN}}} | config
        return self.sink(name, url, **given)

    def case(self, number: int, sink_key: int | None = None, *, state: str = "reported", **columns: Any) -> int:
        """The case of a new alarm; with a sink, its raise is owed to it. Returns the case's key."""
        alarm_key = self.alarm(number)
        given = {
            "alarm_key": alarm_key,
            "episode": 1,
            "filing_id": "filing.cover_open",
            "filing_version": 1,
            "code_scheme": "GB/T 30428.2-2013",
            "case_type": "component",
            "code": "0103",
            "code_name": "雨水井盖",
            "condition_name": "井盖丢失、破损",
            "level": 2,
            "state": state,
            "opened_at": datetime.now(UTC) - timedelta(minutes=5),
            "filed_at": datetime.now(UTC) - timedelta(minutes=5),
        } | columns
        names = ", ".join(given)
        row = self.rows(
            f"INSERT INTO cases ({names}) VALUES ({', '.join(['%s'] * len(given))}) RETURNING case_key",
            *given.values(),
        )
        case_key = int(row[0]["case_key"])
        if sink_key is not None:
            self.owe(sink_key, alarm_key, case={**snapshot()["case"], "case_key": case_key})
        return case_key

    def delivered(self, case_key: int, platform_no: str | None = None) -> None:
        """Its platform has taken all that it was owed of it, and has said nothing since."""
        self.execute(
            "UPDATE outbox o SET state = 'delivered', settled_at = now() FROM cases c"
            " WHERE c.case_key = %s AND o.alarm_key = c.alarm_key",
            case_key,
        )
        self.execute(
            "INSERT INTO case_reported (case_key, sink_key, platform_no, reported_at, told_at)"
            " SELECT c.case_key, o.sink_key, %s, now(), now() FROM cases c JOIN outbox o USING (alarm_key, episode)"
            " WHERE c.case_key = %s",
            platform_no,
            case_key,
        )
        self.execute(
            "UPDATE cases c SET platform_no = %s, sink_key = r.sink_key FROM case_reported r"
            " WHERE r.case_key = c.case_key AND c.case_key = %s",
            platform_no,
            case_key,
        )

    def of(self, case_key: int) -> dict[str, Any]:
        return self.rows("SELECT * FROM cases WHERE case_key = %s", case_key)[0]

    def steps(self, case_key: int) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM case_steps WHERE case_key = %s ORDER BY step_no", case_key)

    def event(self, case_key: int) -> str:
        return f"{self.of(case_key)['alarm_key']}-1"

    def push_id(self, case_key: int) -> str:
        query = "SELECT idempotency_key FROM outbox WHERE alarm_key = %s ORDER BY delivery_key"
        return str(self.rows(query, self.of(case_key)["alarm_key"])[0]["idempotency_key"])

    def audited(self, action: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM audit WHERE action = %s ORDER BY audit_key", action)


def said(status: str, at: datetime | None = None, **more: Any) -> dict[str, Any]:
    """The body of a callback, as the generic configuration reads it."""
    when = {} if at is None else {"disposal_time": city_time(at)}
    return {"case_status": status, "disposal_operator": "值班员", **when, **more}


def city_time(at: datetime) -> str:
    return (at.astimezone(UTC) + timedelta(hours=8)).strftime("%Y-%m-%d %H:%M:%S")


def tif(token: str = TOKEN, *, age_s: float = 0, nonce: str | None = None) -> dict[str, str]:
    now, nonce = str(int(time.time() - age_s)), nonce or secrets.token_hex(8)
    signature = hashlib.sha256(f"{now}{token}{nonce}{now}".encode()).hexdigest().upper()
    return {"x-tif-timestamp": now, "x-tif-nonce": nonce, "x-tif-signature": signature}


def incoming(body: dict[str, Any], headers: dict[str, str] | None = None, **query: str) -> Incoming:
    return Incoming(tif() if headers is None else headers, query, body)
