"""Gateways: when many of a gateway's devices are silent at once it is the gateway's alarm, not each of theirs.

Silence is judged as everywhere: each device against its own interval, up to when all that was sent is committed.
While the gateway's alarm is open it explains its devices' offline alarms; of those still open afterwards people are
told then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

from alerts.city.causes import explain
from alerts.city.judging import Rulebook
from alerts.city.memory import Judgement, Memory, Reasons, Remembering, one_level
from alerts.city.said import Said
from alerts.judge.outcome import RuleInForce
from alerts.judge.transition import Limits
from alerts.rules.gateway_outage import GatewayOutageRule
from alerts.rules.silence import NoDataRule
from underfoot.alarms import Reason, SubjectKind
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

REASONS: Reasons = {
    Reason.limit_reached: Reason.gateway_silent,
    Reason.back_over_limit: Reason.gateway_silent,
    Reason.below_limit: Reason.gateway_again,
}


def limits_of(rule: GatewayOutageRule) -> Limits:
    """More than the share raises it; no more than the other ends it."""
    return one_level(
        rule.severity, reach=math.nextafter(rule.share, 1.0), leave=math.nextafter(rule.over_at_share, 1.0)
    )


def share_silent(devices: int, silent: int, rule: GatewayOutageRule, *, is_open: bool) -> float:
    """Fewer than `at_least` raise nothing, and `over_at_most` keep nothing open, whatever their share."""
    counts = silent > rule.over_at_most if is_open else silent >= rule.at_least
    return silent / devices if devices and counts else 0.0


def judge_gateways(said: Said, in_force: RuleInForce, memory: Remembering, now: datetime) -> Iterator[Judgement]:
    rule = in_force.rule
    assert isinstance(rule, GatewayOutageRule)  # noqa: S101 - its step asks for this kind
    variants = [rule, *(v.rule for v in in_force.variants if isinstance(v.rule, GatewayOutageRule))]
    for intervals, grace_s in sorted({(one.intervals, one.grace_s) for one in variants}):
        params = {"intervals": intervals, "grace_s": grace_s, "remembered": memory.subjects(rule.rule_id)}
        rows = said.connection.execute(statement("city.silent_behind_gateways"), params).fetchall()
        for gateway_key, gateway_id, district, devices, silent, until in rows:
            variant = in_force.variant_for(device_id="", area_code=district, tags=())
            own = rule if variant is None else variant.rule
            assert isinstance(own, GatewayOutageRule)  # noqa: S101 - an override keeps the kind
            if (own.intervals, own.grace_s) != (intervals, grace_s):
                continue
            subject, until_us = (SubjectKind.gateway, gateway_key), microseconds(until)
            is_open = memory.of(rule.rule_id, subject).state.level > 0
            judged = variant is None or variant.enabled
            yield Judgement(
                subject=subject,
                rule=in_force if variant is None else RuleInForce(own, variant.version),
                limits=limits_of(own),
                value=share_silent(devices, silent, own, is_open=is_open) if judged else 0.0,
                seen=(until_us, devices, silent),
                at_us=until_us,
                received_us=until_us,
                proof={
                    "ts_us": until_us,
                    "received_us": until_us,
                    "field": "",
                    "label": f"网关{gateway_id}失联设备",
                    "unit": f"台（共{devices}台）",
                    "value": silent,
                    "limit": math.floor(own.share * devices),
                    "devices": devices,
                    "words": {"reading": f"{silent}台失联（共{devices}台）"},  # people know no gateway by its id
                },
                caught_up_us=until_us,
            )


class ExplainOffline:
    """While a gateway's alarm is open: its devices' own offline alarms, raised or not, follow from it."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook

    def __call__(self, connection: Connection, memory: Memory, now: datetime) -> None:
        opened = {key: rule_id for rule_id, (_, key) in memory.open()}
        if not opened:
            return
        offline: dict[str, list[str]] = {}
        for in_force in self._rulebook.of_kind(connection, NoDataRule):
            if isinstance(in_force.rule, NoDataRule):
                offline.setdefault(in_force.rule.family, []).append(in_force.rule.rule_id)
        rows = connection.execute(statement("city.devices_behind"), {"gateway_keys": list(opened)}).fetchall()
        for gateway_key, rule_id in opened.items():
            followers = [
                (SubjectKind.device.value, device_key, offline_rule)
                for behind, device_key, family in rows
                if behind == gateway_key
                for offline_rule in offline.get(family, ())
            ]
            cause = (SubjectKind.gateway.value, gateway_key, rule_id)
            explain(connection, cause, followers, "所属网关失联", now)
