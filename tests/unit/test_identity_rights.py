"""What each account may do on MQTT: the table of docs/identity.md, walked; and what must hold for any topic."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underfoot.identity import Account
from underfoot.identity.rights import Action, Bound, Rights, Surroundings, rights_of, within

DEVICE = Account(1, "device", "NB-1", area="410502", family="cover")
GATEWAY = Account(2, "gateway", "GW-1", area="410502")
VENDOR = Account(3, "vendor", "acme", vendor="Acme", mappings=("acme-well",))
INGEST = Account(4, "service", "ingest", duty="ingest")
READER = Account(5, "service", "wall", duty="reader")
COMMANDS = Account(6, "service", "desk", duty="commands")

AROUND = {
    DEVICE: Surroundings(),
    GATEWAY: Surroundings([Bound("410502", "road", "R-1")]),
    VENDOR: Surroundings([Bound("410503", "rain", "A-1")], ["/city/{city}/well/status/{device}"]),
    INGEST: Surroundings((), ["/city/{city}/well/status/{device}", "dtu/+/up"]),
    READER: Surroundings(),
    COMMANDS: Surroundings(),
}

OWN = "underfoot/v1/410502/cover/NB-1"
BOUND = "underfoot/v1/410502/road/R-1"
OF_VENDOR = "underfoot/v1/410503/rain/A-1"

MAY: dict[tuple[Account, Action], list[str]] = {
    (DEVICE, "publish"): [f"{OWN}/report", f"{OWN}/cbor"],
    (DEVICE, "subscribe"): [f"{OWN}/command"],
    (GATEWAY, "publish"): ["underfoot/v1/410502/gateway/GW-1/batch", f"{BOUND}/report", f"{BOUND}/cbor"],
    (GATEWAY, "subscribe"): ["underfoot/v1/410502/gateway/GW-1/command", f"{BOUND}/command"],
    (VENDOR, "publish"): [f"{OF_VENDOR}/report", f"{OF_VENDOR}/cbor", "/city/410500/well/status/W-9"],
    (VENDOR, "subscribe"): [],
    (INGEST, "publish"): [
        "underfoot/v1/~probe/~probe/~probe/report",
        "underfoot/v1/410502/~probe/~probe/report",
        "underfoot/v1/410502/~probe/~probe/cbor",
        "underfoot/v1/~probe/gateway/~probe/batch",
    ],
    (INGEST, "subscribe"): [
        "underfoot/v1/+/+/+/report",
        "underfoot/v1/410502/+/+/report",
        "underfoot/v1/+/+/+/cbor",
        "underfoot/v1/+/gateway/+/batch",
        "/city/+/well/status/+",
        "dtu/+/up",
        f"{OWN}/report",
        f"{OWN}/cbor",
        f"{BOUND}/report",
        f"{BOUND}/cbor",
        f"{OF_VENDOR}/report",
        f"{OF_VENDOR}/cbor",
        "underfoot/v1/410502/gateway/GW-1/batch",
        "/city/410500/well/status/W-9",
        "dtu/D-1/up",
    ],
    (READER, "publish"): [],
    (READER, "subscribe"): [
        "underfoot/v1/+/+/+/report",
        "underfoot/v1/410502/+/+/report",
        "underfoot/v1/+/+/+/cbor",
        "underfoot/v1/+/gateway/+/batch",
        f"{OWN}/report",
        f"{OWN}/cbor",
        f"{BOUND}/report",
        f"{BOUND}/cbor",
        f"{OF_VENDOR}/report",
        f"{OF_VENDOR}/cbor",
        "underfoot/v1/410502/gateway/GW-1/batch",
    ],
    (COMMANDS, "publish"): [
        f"{OWN}/command",
        f"{BOUND}/command",
        "underfoot/v1/410502/gateway/GW-1/command",
        "underfoot/v1/410503/cover/NB-1/command",
        "underfoot/v1/410502/cover/NB-2/command",
    ],
    (COMMANDS, "subscribe"): [],
}

PROBES_OF_MAPPINGS = ["/city/~probe/well/status/~probe", "dtu/~probe/up"]

NOBODYS = [
    "underfoot/v1/410503/cover/NB-1/report",  # the wrong district
    "underfoot/v1/410502/road/NB-1/report",  # the wrong family
    "underfoot/v1/410502/cover/NB-2/report",  # another device
    "underfoot/v1/410503/cover/NB-1/command",
    "underfoot/v1/410502/cover/NB-2/command",
    "underfoot/v1/410502/gateway/GW-2/batch",
    "underfoot/v1/410503/gateway/GW-1/batch",
    "underfoot/v1/410502/gateway/GW-1/report",
    f"{OWN}/report/",
    f"/{OWN}/report",
    f"{OWN}/REPORT",
    f"{OWN}/report/more",
    OWN,
    "/city/410500/well/status",
    "/city/410500/well/status/W-9/more",
    "dtu/D-1/down",
    "",
    "#",
    "+",
    "+/#",
    "underfoot/#",
    "underfoot/v1/#",
    "underfoot/v1/+/+/+/+",
    "underfoot/v1/+/+/+/command",
    f"{OWN}/+",
    f"{OWN}/#",
    f"{OWN}/command/#",
    "$SYS/#",
    "$SYS/broker/uptime",
    "$CONTROL/dynamic-security/v1",
    f"$share/g/{OWN}/command",
    "$share/g/underfoot/v1/+/+/+/report",
]


@pytest.mark.parametrize("account", AROUND, ids=lambda account: f"{account.kind}-{account.name}")
@pytest.mark.parametrize("action", ["publish", "subscribe"])
def test_each_may_what_the_table_says_and_nothing_else(account: Account, action: Action) -> None:
    rights = rights_of(account, AROUND[account])
    topics = {topic for listed in MAY.values() for topic in listed} | set(NOBODYS)
    allowed = {topic for topic in topics if rights.may(action, topic)}
    wanted = set(MAY[account, action])
    if account is INGEST or account is READER:
        # What a filter of theirs takes in, whoever says it: ingest judges that by the ledger once more.
        wanted |= {topic for topic in topics if action == "subscribe" and allowed_as_reports(topic)}
    assert allowed == wanted


def allowed_as_reports(topic: str) -> bool:
    return bool(
        re.fullmatch(r"underfoot/v1/[^/+#]+/[^/+#]+/[^/+#]+/(report|cbor)", topic)
        or re.fullmatch(r"underfoot/v1/[^/+#]+/gateway/[^/+#]+/batch", topic)
    )


def test_ingest_may_send_its_probes_by_the_filters_of_mappings_and_nothing_else() -> None:
    rights = rights_of(INGEST, AROUND[INGEST])
    assert all(rights.may("publish", topic) for topic in PROBES_OF_MAPPINGS)
    assert not any(rights.may("publish", topic) for topic in ("/city/410500/well/status/W-9", "dtu/D-1/up"))


def test_a_service_without_a_duty_may_nothing() -> None:
    assert rights_of(Account(9, "service", "old"), Surroundings((), ["a/{b}"])) == Rights()


def test_the_table_in_the_docs_is_this_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "identity.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+(?: \(\w+\))?) \| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
    said = {
        who: (re.findall(r"`([^`]+)`", publish), re.findall(r"`([^`]+)`", receive)) for who, publish, receive in rows
    }
    names = {
        "device": DEVICE,
        "gateway": GATEWAY,
        "vendor": VENDOR,
        "service (ingest)": INGEST,
        "service (reader)": READER,
        "service (commands)": COMMANDS,
    }
    assert set(names) <= set(said)
    for who, account in names.items():
        rights = rights_of(account, AROUND[account])
        for action, patterns in zip(("publish", "subscribe"), said[who], strict=True):
            examples = [_example(pattern, account) for pattern in patterns]
            granted = rights.publish if action == "publish" else rights.receive
            assert {_example(each, account) for each in granted} == set(examples), (who, action)


def _example(pattern: str, account: Account) -> str:
    """A pattern of the docs with the names of this page's accounts in it."""
    bound = {"GW-1": ("410502", "road", "R-1"), "acme": ("410503", "rain", "A-1")}.get(account.name)
    area, family, device = bound or (account.area or "+", account.family or "+", account.name)
    own = {"area": account.area or "+", "gateway_id": account.name}
    if "/gateway/" in pattern:
        area = own["area"]
    filled = pattern.replace("{area}", area).replace("{family}", family).replace("{device_id}", device)
    filled = filled.replace("{gateway_id}", own["gateway_id"])
    return "mapping" if filled in ("{mapping}", "/city/+/well/status/+", "dtu/+/up", *PROBES_OF_MAPPINGS) else filled


LEVELS = st.sampled_from(["a", "b", "+", "#", "", "$x"])
FILTERS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)
TOPICS = st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=4).map("/".join)


def takes(topic_filter: str, topic: str) -> bool:
    """MQTT 3.1.1, 4.7: whether a message on the topic is one that the filter takes."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if levels[0].startswith("$") and wanted[0] in ("+", "#"):
        return False
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels) or level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)


@given(FILTERS, FILTERS, TOPICS)
def test_what_lies_within_takes_nothing_beyond(asked: str, granted: str, topic: str) -> None:
    if within(asked, granted) and takes(asked, topic):
        assert takes(granted, topic)


@given(TOPICS, FILTERS)
def test_a_topic_lies_within_what_takes_it(topic: str, granted: str) -> None:
    # Nothing of ours begins with a wildcard or $; there `within` says no.
    if not topic.startswith("$") and granted.split("/")[0] not in ("+", "#") and "#/" not in granted:
        assert within(topic, granted) == takes(granted, topic)


@given(st.text(max_size=80), st.sampled_from(list(AROUND)))
def test_no_text_is_a_right(text: str, account: Account) -> None:
    rights = rights_of(account, AROUND[account])
    for action in ("publish", "subscribe"):
        if rights.may(action, text):
            assert any(takes(granted, text) for granted in (*rights.publish, *rights.receive))
