"""Whether a city's database holds what its fleet has sent: every report, refusal and alarm, every delivery owed.

All of it is read from the rows; what the product says about itself (the books) is compared with them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from tests.system.city import FAMILIES, City
from tests.system.fleet import Sent

_STORED = " UNION ALL ".join(
    f"SELECT device_key, ts, digest, quality, (extra #>> '{{report,n}}')::bigint AS n FROM report_{family}"
    for family in FAMILIES
)


def stored_numbers(city: City) -> Counter[int]:
    """How often each numbered report is stored."""
    return Counter(dict(city.rows(f"SELECT n, count(*) FROM ({_STORED}) s WHERE n IS NOT NULL GROUP BY n")))


def stored_rows(city: City) -> int:
    return int(city.value(f"SELECT count(*) FROM ({_STORED}) s"))


def everything_is_kept(city: City, sent: Sent, *, resent: bool = False) -> None:
    """Every distinct report stored once, every distinct refusal in quarantine once, nothing else anywhere.

    `resent`: the fleet has sent messages again, so that a refusal may really have come twice.
    """
    stored = stored_numbers(city)
    lost = sent.reports - stored.keys()
    assert not lost, f"{len(lost)} of {len(sent.reports)} reports are lost, e.g. {sorted(lost)[:10]}"
    twice = {number: count for number, count in stored.items() if count > 1}
    assert not twice, f"{len(twice)} reports are stored more than once, e.g. {list(twice.items())[:10]}"
    assert stored_rows(city) == len(sent.reports)
    refused = [bytes(digest) for (digest,) in city.rows("SELECT digest FROM quarantine")]
    assert set(refused) == sent.refused, (
        f"quarantine: {len(sent.refused - set(refused))} missing, {len(set(refused) - sent.refused)} more"
    )
    assert resent or len(refused) == len(set(refused)), "the same refusal is kept twice"


def the_books_balance(city: City, sent: Sent, *, resent: bool = False) -> dict[str, int]:
    """Row by row, and against the rows of the database and the count of the fleet."""
    names = (
        *("received", "redelivered", "by_inbox", "unpacked", "stored", "duplicate", "quarantined", "forwarded"),
        *("discarded", "late"),
    )
    total: Counter[str] = Counter()
    for row in city.rows(f"SELECT {', '.join(names)} FROM books"):
        book = dict(zip(names, row, strict=True))
        ends = ("stored", "duplicate", "quarantined", "forwarded", "discarded")
        assert book["received"] + book["unpacked"] == sum(book[end] for end in ends), book
        total.update(book)
    assert total["stored"] == stored_rows(city)
    assert total["quarantined"] == city.value("SELECT count(*) FROM quarantine")
    distinct = total["stored"] + city.value("SELECT count(DISTINCT digest) FROM quarantine")
    assert distinct == len(sent.reports) + len(sent.refused)
    by_mqtt = total["received"] - total["by_inbox"]
    assert by_mqtt >= sent.messages, "something was never counted as received"
    # What came for the first time and never reached a commit comes again marked: so unmarked ones are never too many.
    assert resent or by_mqtt - total["redelivered"] <= sent.messages
    assert total["duplicate"] >= sent.repeats
    return dict(total)


def the_alarms_are_right(city: City, sent: Sent) -> None:
    """Exactly the episodes that the fleet's hazards mean, with the times of the reports that proved them."""
    rules = sorted({episode.rule_id for episode in sent.episodes} | {"cover.open"})
    found = city.rows(
        "SELECT d.device_id, al.rule_id, (extract(epoch FROM e.raised_at) * 1000)::bigint,"
        " e.severity, e.cleared_at IS NULL, (extract(epoch FROM e.cleared_at) * 1000)::bigint"
        " FROM episodes e JOIN alarms al USING (alarm_key) JOIN devices d USING (device_key) WHERE al.rule_id = ANY(%s)"
        " ORDER BY al.alarm_key, e.episode",
        rules,
    )
    clockless = {episode.device_id for episode in sent.episodes if episode.raised_ms is None}
    expected = Counter((e.device_id, e.rule_id, e.raised_ms, e.severity, e.open, e.cleared_ms) for e in sent.episodes)
    actual = Counter(
        (
            device,
            rule,
            None if device in clockless else raised,
            severity,
            is_open,
            None if device in clockless else cleared,
        )
        for device, rule, raised, severity, is_open, cleared in found
    )
    assert actual == expected, (
        f"missing {list((expected - actual).elements())[:5]}, more {list((actual - expected).elements())[:5]}"
    )


def the_final_alarms_are_right(city: City, sent: Sent) -> None:
    """What is open in the end is what the fleet's hazards mean, and nothing else: whatever came late meanwhile."""
    open_now = city.rows(
        "SELECT d.device_id, al.rule_id, e.severity FROM episodes e JOIN alarms al USING (alarm_key)"
        " JOIN devices d USING (device_key) WHERE e.cleared_at IS NULL AND al.rule_id NOT LIKE '%%.offline'"
    )
    expected = {(e.device_id, e.rule_id, e.severity) for e in sent.episodes if e.open}
    assert len(open_now) == len(set(open_now))
    assert set(open_now) == expected, f"missing {expected - set(open_now)}, more {set(open_now) - expected}"


def nobody_was_called_offline(city: City, sent: Sent) -> None:
    """No cover while it went on reporting: what it said waited for us, or was on its way."""
    called = city.rows(
        "SELECT d.device_id, e.raised_at FROM episodes e JOIN alarms al USING (alarm_key) JOIN devices d"
        " USING (device_key) WHERE al.rule_id LIKE '%%.offline' AND e.raised_at < to_timestamp(%s)"
        " AND EXISTS (SELECT FROM report_cover r WHERE r.device_key = d.device_key AND r.received_at < e.raised_at)",
        sent.last_at,
    )
    assert called == [], f"{len(called)} devices, e.g. {called[:3]}"


def the_record_is_whole(city: City) -> None:
    """One open episode per subject and rule; transitions without a gap; each episode begins and ends in them."""
    double = city.rows(
        "SELECT subject_kind, subject_key, rule_id, count(*) FROM episodes JOIN alarms USING (alarm_key)"
        " WHERE cleared_at IS NULL GROUP BY 1, 2, 3 HAVING count(*) > 1"
    )
    assert double == []
    gaps = city.rows(
        "SELECT al.alarm_key, al.transition_no, count(t.*), max(t.transition_no) FROM alarms al"
        " LEFT JOIN transitions t USING (alarm_key) GROUP BY al.alarm_key"
        " HAVING al.transition_no <> count(t.*) OR al.transition_no <> coalesce(max(t.transition_no), 0)"
    )
    assert gaps == []
    unproven = city.rows(
        "SELECT e.episode_key, e.cleared_at, x.begun, x.ended FROM episodes e CROSS JOIN LATERAL ("
        " SELECT count(*) FILTER (WHERE from_state IN ('normal', 'pending') AND to_state = 'active') AS begun,"
        "  count(*) FILTER (WHERE from_state IN ('active', 'clearing') AND to_state = 'normal') AS ended"
        " FROM transitions t WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.region = 'condition') x"
        " WHERE x.begun <> 1 OR x.ended <> (e.cleared_at IS NOT NULL)::int OR e.proof = '{}'"
    )
    assert unproven == []


def everything_is_owed(city: City, sink: str) -> int:
    """Each beginning, change of severity and end of an alarm that is a case has its one row in the outbox of `sink`;
    but nothing while the alarm is suppressed, except the end of what was told, and when that is over how things are.
    What is a case only from a severity on begins there; what somebody has to look at first is none of its own."""
    lines: dict[int, list[tuple[Any, ...]]] = {}
    for alarm_key, *line in city.rows(
        "WITH newest AS (SELECT DISTINCT ON (rule_id) rule_id, body FROM rules WHERE scope = 'city'"
        "  ORDER BY rule_id, version DESC)"
        " SELECT t.alarm_key, t.transition_no, t.episode, t.region, t.from_state, t.to_state, t.reason, t.xmin::text,"
        "  t.severity >= array_position(ARRAY['blue', 'yellow', 'orange', 'red'], f.body ->> 'from_severity')"
        " FROM transitions t JOIN alarms al USING (alarm_key) JOIN newest r USING (rule_id)"
        " JOIN newest f ON f.rule_id = coalesce(r.body #>> '{case,filing}', 'filing.other')"
        " WHERE jsonb_typeof(r.body -> 'case') = 'object' AND f.body ->> 'verify' = 'none'"
        " ORDER BY t.alarm_key, t.transition_no"
    ):
        lines.setdefault(alarm_key, []).append(tuple(line))
    wanted = {(alarm_key, *notice) for alarm_key, record in lines.items() for notice in _notices(record)}
    owed = city.rows(
        "SELECT alarm_key, transition_no, notice FROM outbox JOIN sinks USING (sink_key) WHERE name = %s"
        " AND notice IN ('raise', 'change', 'clear')",
        sink,
    )
    assert len(owed) == len(set(owed))
    missing, more = sorted(wanted - set(owed)), sorted(set(owed) - wanted)
    assert not missing, f"missing {missing[:5]}; the first one's alarm: {lines[missing[0][0]]}"
    assert not more, f"more {more[:5]}; the first one's alarm: {lines.get(more[0][0])}"
    assert city.value("SELECT count(*) - count(DISTINCT idempotency_key) FROM outbox") == 0
    return len(owed)


@dataclass
class _Told:
    """One episode, as a sink knows it. `withheld`: something of it was kept back."""

    open: bool = False
    told: bool = False
    withheld: bool = False


def _notices(record: list[tuple[Any, ...]]) -> list[tuple[int, str]]:
    """What one alarm's record owes to a sink: (transition_no, notice), by the plainest reading of it."""
    owed: list[tuple[int, str]] = []
    suppressed = False
    # What was missed and is over goes on record beside what is open.
    episodes: defaultdict[int, _Told] = defaultdict(_Told)
    for place, (number, episode, region, before, after, reason, transaction, severe) in enumerate(record):
        notice = None
        # What a storm explains is kept back by the transaction that raises it, which says so in its next line.
        explained = any(
            (line[2], line[5], line[6]) == ("suppression", "explained", transaction)
            for line in record[place + 1 : place + 2]
        )
        one = episodes[episode]
        if region == "suppression":
            suppressed = after != "none"
            one = next((each for each in episodes.values() if each.open), one)
            if not suppressed and one.open and one.withheld:
                one.withheld = False
                if one.told or severe:
                    notice = "change" if one.told else "raise"
        elif region == "case":
            # Merged into the incident's case: by itself it is to be told anew.
            one.told, one.withheld = one.told and reason != "case_ended", one.withheld or reason == "case_ended"
        elif region == "condition":
            if before in ("normal", "pending") and after == "active":
                one.open, one.withheld = True, suppressed or explained
                notice = "raise" if severe and not one.withheld else None
            elif before in ("active", "clearing") and after == "normal":
                one.open = False
                notice = "clear" if one.told else None
            elif reason in ("severity_rose", "severity_fell", "incident_grew"):
                one.withheld = one.withheld or suppressed
                if not suppressed and (one.told or severe):
                    notice = "change" if one.told else "raise"
        if notice is not None:
            one.told = True
            owed.append((number, notice))
    return owed


def shown(book: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in book.items())
