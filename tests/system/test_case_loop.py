"""The loop: alarms of a storm → cases → told → handled → checked → closed, over a platform on its worst days.

Its callbacks are lost, repeated, overtaken, expired, badly signed; it is away, loses answers, loses events; cases are
sent back, reworked, put off, refused; covers close by themselves; and processes of ours are killed at random. At the
end every alarm is in one state that both sides agree on, and none is there twice.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.city import DISTRICT, LONG, City, until
from tests.system.fleet import Message, now_ms, report
from tests.system.platform import Platform, deliver_quickly, standing_in
from tests.system.publisher import send

TOKEN = "loop-secret"
UNITS = {"beiguan": "北关养护所", "wenfeng": "文峰养护所"}
"""Of each crew's robot: its maintenance unit."""
FINAL = {"closed", "forced_close", "cancelled", "not_accepted"}
ON_THE_WAY = {"handling", "handle_finish", "pending_check", "checking", "check_not_pass", "suspended"}

COURSE: dict[str, Any] = {
    "name": "the-worst-days",
    "takes": {
        "verify_s": 0.3, "register_s": 0.3, "dispatch_s": 0.3, "begin_s": 0.4, "handle_s": 1, "suspend_s": 0.7,
        "check_s": 0.3, "close_s": 0.2,
    },
    "limits": {"register_s": 30, "dispatch_s": 30, "handle_s": 2, "check_s": 30, "supervise_after_s": 0.5},
    "fates": {
        "verified": 0.4, "not_real": 0.05, "not_accepted": 0.04, "duplicate": 0.08, "returned": 0.1, "suspended": 0.1,
        "rework": 0.25, "overdue": 0.1,
    },
    "callbacks": {
        "lost": 0.1, "repeated": 0.1, "late": 0.1, "late_s": 1.5, "bad_signature": 0.03, "expired": 0.03,
        "replayed": 0.05, "attempts": 8, "retry_s": 0.4, "together": 20, "token": TOKEN,
    },
    "outages": [
        {"after_s": 1, "behaviour": {"kind": "lose_event", "count": 4, "match": {"notice": "raise"}}},
        {"after_s": 2, "behaviour": {"kind": "refuse", "status": 503, "seconds": 1.5}},
        {"after_s": 4, "behaviour": {"kind": "lose_answer", "share": 0.3, "seconds": 3, "delay_s": 0.1}},
        {"after_s": 7, "behaviour": {"kind": "time_out", "seconds": 1, "delay_s": 1.5}},
    ],
}  # fmt: skip


_COLUMNS = (
    "device_id", "family", "area_code", "asset_code", "asset_name", "address", "lon", "lat", "owner_unit",
    "maintenance_unit", "expected_interval_s",
)  # fmt: skip


def write_covers(path: Path, count: int) -> list[str]:
    ids = [f"cover-{number}" for number in range(5001, 5001 + count)]
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for number, device_id in enumerate(ids, 5001):
            place = f"114.{352000 + number:06d}", f"36.{102000 + number:06d}"
            code = f"{DISTRICT}0103{number:06d}"
            unit = list(UNITS.values())[number % 2]
            name = f"雨水井{number}"
            street = f"人民大道{number}号"
            rows.writerow([device_id, "cover", f"{DISTRICT}003", code, name, street, *place, "市水务局", unit, 86_400])
    return ids


@dataclass
class Processes:
    """Ours, and the one that kills them. Whoever is killed is started again at once."""

    city: City
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)

    def start(self, name: str) -> None:
        self.running[name] = self.city.start(name)

    def kill(self, name: str) -> None:
        os.kill(self.running[name].pid, signal.SIGKILL)
        self.running[name].wait()
        self.killed[name] += 1
        self.start(name)

    @contextmanager
    def killed_at_random(self, times: int, every_s: float) -> Iterator[None]:
        over = threading.Event()
        draw = random.Random(times)

        def run() -> None:
            for number in range(times):
                if over.wait(draw.uniform(0.5, 1.5) * every_s):
                    return
                self.kill(("alerts", "api", "ingest")[number % 3])

        thread = threading.Thread(target=run, name="killer")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class Crews:
    """Close a cover once the platform has it in hand; some again only when it was sent back to be done better."""

    def __init__(self, city: City, platform: Platform, covers: list[str]) -> None:
        self._city = city
        self._platform = platform
        self._open = dict.fromkeys(covers)
        self._events: dict[str, str] = {}

    def close(self, *covers: str) -> None:
        wanted = [cover for cover in covers if cover in self._open]
        for cover in wanted:
            del self._open[cover]
        if wanted:
            send(self._city, *(closing(cover) for cover in wanted))

    def round(self) -> list[dict[str, Any]]:
        cases = all_cases(self._platform)
        if any(case["event"] not in self._events for case in cases):
            self._events = dict(
                self._city.rows(
                    "SELECT al.alarm_key || '-1', d.device_id FROM alarms al JOIN devices d USING (device_key)"
                    " WHERE al.rule_id = 'cover.open'"
                )
            )
        self.close(
            *(self._events[c["event"]] for c in cases if c["state"] in ON_THE_WAY and c["event"] in self._events)
        )
        return cases

    def close_the_rest(self) -> None:
        self.close(*list(self._open))


def all_cases(platform: Platform) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = platform.ask("GET", "/cases", params={"limit": 100_000})
    return found


def opening(cover: str) -> Message:
    return report(cover, now_ms(), open=True, tilt_deg=80.0)


def closing(cover: str) -> Message:
    return report(cover, now_ms(), open=False, tilt_deg=0.5)


@contextmanager
def platform_on_its_worst_days(city: City) -> Iterator[Platform]:
    course = city.installation.folder / "course.yaml"
    course.write_text(json.dumps(COURSE | {"goes_on": False}), encoding="utf-8")
    with standing_in(city, "--course", str(course), "--gateway-token", TOKEN, "--robot-per-minute", "0") as platform:
        city.do("DELETE FROM sinks")
        base = f"http://127.0.0.1:{platform.port}"
        signer = {"kind": "tif", "paasid": "underfoot", "token": TOKEN}
        config = city.installation.folder / "platform.json"
        config.write_text(
            json.dumps(
                {
                    "url": f"{base}/events",
                    "signer": signer,
                    "callback_url": f"{city.installation.api_url}/api/v1/platforms/platform/callback",
                    "callbacks": {"signer": {"kind": "tif", "token": TOKEN}},
                    "query": {
                        "url": f"{base}/query",
                        "parameters": {"after": "{after}", "limit": "{size}"},
                        "items": "data.cases",
                        "next": "data.next",
                        "size": 50,
                    },
                }
            ),
            encoding="utf-8",
        )
        city.installation.run(
            "sinks", "add", "platform", "--channel", "platform", "--audience", "platform", "--config", str(config)
        )
        for crew, unit in UNITS.items():
            robot = f"url={base}/cgi-bin/webhook/send?key={crew}"
            city.installation.run(
                "sinks", "add", crew, "--channel", "wecom", "--unit", unit, "--set", robot, "--set", "per_minute=6000"
            )
        yield platform


@pytest.mark.parametrize(
    ("alarms", "kills"), [(100, 3), pytest.param(1000, 30, marks=pytest.mark.long)], ids=["100 alarms", "1000 alarms"]
)
def test_every_alarm_ends_in_one_state_on_both_sides(city: City, alarms: int, kills: int) -> None:
    deliver_quickly(city)
    ledger = city.installation.folder / "covers.csv"
    covers = write_covers(ledger, alarms)
    processes = Processes(city)
    processes.start("api")
    processes.start("alerts")
    city.installation.run("devices", "import", str(ledger))
    with platform_on_its_worst_days(city) as platform:
        processes.running["ingest"] = city.start_ingest()
        until(lambda: api_answers(city), "API")
        platform.ask("POST", "/course", json=COURSE)
        crews = Crews(city, platform, covers)
        by_themselves = set(covers[::7])
        with processes.killed_at_random(kills, every_s=1.5):
            for beginning in range(0, alarms, max(alarms // 10, 1)):
                some = covers[beginning : beginning + max(alarms // 10, 1)]
                send(city, *(opening(cover) for cover in some))
                time.sleep(0.4)
                crews.close(*(cover for cover in some if cover in by_themselves))
                crews.round()
            until(
                lambda: over_there(city, crews, alarms),
                "end of most cases on the platform",
                30 + alarms / 10,
                every=0.3,
            )
        calm_again(city, platform, crews, patience_s=60 + alarms / 4)
        settle(city, platform, patience_s=60 + alarms / 4)
        agree(city, platform, alarms)
        the_crews_were_told(city, platform, alarms, processes.killed["alerts"])
        refused_and_logged(city, platform)
        assert set(processes.killed) == {"alerts", "api", "ingest"}
        verified = json.loads(city.installation.run("audit", "verify", "--json").stdout)
        assert verified["broken"] is None, verified


def api_answers(city: City) -> bool:
    try:
        return httpx.get(f"{city.installation.api_url}/healthz", timeout=1).is_success
    except httpx.TransportError:
        return False


def over_there(city: City, crews: Crews, alarms: int) -> bool:
    if not LONG:
        # The breaker tries every 30 s whether the platform works again: let them be over.
        city.do("UPDATE sinks SET open_until = now() WHERE open_until > now()")
    cases = crews.round()
    return len(cases) >= 0.9 * alarms and sum(case["state"] not in FINAL for case in cases) <= alarms // 10


def calm_again(city: City, platform: Platform, crews: Crews, patience_s: float) -> None:
    """The platform's worst days are over, all covers are shut, and nobody is killed any more."""
    platform.behave()
    quick = {name: seconds / 3 for name, seconds in COURSE["takes"].items()}
    callbacks = {"token": TOKEN, "attempts": 20, "retry_s": 0.5}
    course = {"name": "calm", "takes": quick, "callbacks": callbacks, "fates": {"rework": 0.2}}
    platform.ask("POST", "/course", json=course)
    city.do("UPDATE sinks SET open_until = now() WHERE open_until IS NOT NULL")
    until(lambda: owed(city) == 0, "end of what is owed", patience_s)
    until(lambda: api_answers(city), "API")
    lost = compare(city)
    assert lost["found"].get("missing"), "what the platform has lost was not found"
    until(lambda: owed(city) == 0, "what was sent again", patience_s)
    until(
        lambda: all(case["state"] in FINAL for case in crews.round()), "end of all cases there", patience_s, every=0.3
    )
    crews.close_the_rest()
    city.caught_up()
    there = (
        "SELECT count(*) FROM episodes e JOIN alarms USING (alarm_key)"
        " WHERE rule_id = 'cover.open' AND e.cleared_at IS NULL"
    )
    until(lambda: city.value(there) == 0, "end of the alarms", patience_s)
    until(lambda: owed(city) == 0, "end of what is owed", patience_s)


def owed(city: City) -> int:
    count: int = city.value("SELECT count(*) FROM outbox WHERE state = 'owed'")
    return count


def compare(city: City) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(city.installation.run("platform", "reconcile", "platform", "--json").stdout)
    return found


def settle(city: City, platform: Platform, patience_s: float) -> None:
    """Compare until nothing differs, as the schedule would, over days."""
    for _ in range(8):
        until(
            lambda: all(case["state"] in FINAL for case in all_cases(platform)),
            "end of all cases",
            patience_s,
            every=0.3,
        )
        until(lambda: platform.ask("GET", "/stats")["cases"]["callbacks_waiting"] == 0, "last callback", patience_s)
        found = compare(city)
        if not found["found"]:
            return
        until(lambda: owed(city) == 0, "what was sent again", patience_s)
    raise AssertionError(f"the two sides do not come together: {found}")


def agree(city: City, platform: Platform, alarms: int) -> None:
    ours = city.rows(
        "SELECT c.alarm_key || '-' || c.episode, c.state, c.ended_how, c.end_confirmed, c.platform_no, c.rework,"
        " c.needs_person, c.duplicate_of FROM cases c ORDER BY case_key"
    )
    theirs = {case["event"]: case for case in all_cases(platform)}
    assert len(ours) == alarms, "one case an alarm"
    assert len({row[0] for row in ours}) == alarms
    assert set(theirs) == {row[0] for row in ours}
    assert len({case["platform_no"] for case in theirs.values()}) == alarms
    for event, state, how, confirmed, number, rework, needs, duplicate_of in ours:
        there = theirs[event]
        assert there["state"] in FINAL, there
        assert state in FINAL, (event, state)
        assert confirmed, (event, state, how)
        assert state == there["state"], (event, how, there)
        assert number == there["platform_no"]
        assert rework <= there["rework"], "a rework that there was not"
        assert needs is None, (event, needs)
        assert duplicate_of == there["duplicate_of"], (event, how, there)
    ends = Counter(row[1] for row in ours)
    assert {"closed", "cancelled", "not_accepted"} <= set(ends), f"the course had too little variety: {ends}"
    assert sum(row[5] for row in ours) > 0, "no case was reworked"
    assert any(row[7] for row in ours), "no citizen had reported the same"
    assert platform.violations() == []
    assert platform.records("lost"), "no event was lost there"
    steps = "SELECT count(*) FROM case_steps GROUP BY case_key, step_no HAVING count(*) > 1"
    assert city.rows(steps) == []
    undelivered = city.rows("SELECT state, count(*) FROM outbox GROUP BY 1")
    assert {state for state, _ in undelivered} <= {"delivered", "dropped"}, undelivered


def the_crews_were_told(city: City, platform: Platform, alarms: int, kills: int) -> None:
    """Of an alarm's beginning and end, unless it cleared by itself before; the unit whose cover it is, and no other;
    again only around a kill. Whoever may have been told, as a kill came before the answer, is told the end."""
    rows = city.rows(
        "SELECT o.alarm_key, o.notice, o.state = 'delivered', o.maybe_told, s.name, a.maintenance_unit"
        " FROM outbox o JOIN sinks s USING (sink_key)"
        " JOIN alarms al USING (alarm_key) JOIN assets a USING (asset_key) WHERE s.audience = 'crew'"
    )
    assert all(UNITS[sink] == unit for *_, sink, unit in rows)
    begun = {key for key, notice, told, *_ in rows if notice == "raise" and told}
    perhaps = {key for key, notice, _, maybe_told, *_ in rows if notice == "raise" and maybe_told}
    over = {key for key, notice, told, *_ in rows if notice == "clear" and told}
    assert begun <= over <= begun | perhaps
    assert len(begun) > 0.8 * alarms
    texts = Counter(
        record["content"] for record in platform.records("accepted", "robot") if record["content"].startswith("【红】")
    )
    assert len(texts) >= len(begun)
    assert sum(texts.values()) - len(texts) <= 8 * kills, texts.most_common(3)


def refused_and_logged(city: City, platform: Platform) -> None:
    replays = platform.records(kind="replay")
    assert replays
    assert {record["outcome"] for record in replays} <= {"refused", "given_up"}
    refused = [record["detail"] for record in platform.records("refused", kind="callback")]
    assert refused
    assert all(detail.startswith("401") for detail in refused), refused
    why = dict(city.rows("SELECT detail ->> 'why', count(*) FROM audit WHERE action = 'callback.refused' GROUP BY 1"))
    assert {"bad_signature", "expired", "replayed"} <= set(why), why
