"""Half of all messages is garbage, at full rate: the reports among it cost what they always do, and the garbage is kept
up to a limit and counted to the last piece.
"""

from __future__ import annotations

import json
import signal

from tests.system import evidence
from tests.system.city import LONG, City, signal_and_wait
from tests.system.fleet import now_ms, report
from tests.system.publisher import send
from tests.system.verdict import INGEST_MB, Endures

REPORTS = 60_000 if LONG else 5_000
RATE_PER_S, BURST = 50, 1_000
_REJECTED = ("undecodable", "unknown_device")
LAMP = "lamp-010"
"""The ledger's last, in whose name the load says nothing."""


def flood(city: City, garbage: float, seed: int) -> None:
    command = ["simulate", "load", "--ledger", str(city.installation.folder / "ledger.csv"), "--devices", "93"]
    command += ["--reports", str(REPORTS), "--garbage", str(garbage), "--seed", str(seed), "--json"]
    result = json.loads(city.installation.run(*command).stdout)
    assert (result["sent"], result["unacknowledged"]) == (REPORTS + result["garbage"], 0)
    assert result["garbage"] == (REPORTS if garbage else 0)


def transactions(city: City) -> int:
    """In how many transactions, subtransactions among them, the reports were stored that are there."""
    families = " UNION ".join(
        f"SELECT xmin::text AS x FROM report_{name}" for name in ("cover", "road", "rain", "lamp")
    )
    return int(city.value(f"SELECT count(*) FROM ({families}) t"))


def waiting_then_committed(city: City, garbage: float, seed: int) -> int:
    """So much comes while ingest is away; in how many transactions it is then stored."""
    before = transactions(city)
    flood(city, garbage, seed)
    ingest = city.start_ingest()
    assert signal_and_wait(ingest, signal.SIGTERM) == 0
    return transactions(city) - before


def test_reports_are_stored_in_batches_whatever_is_between_them(city: City) -> None:
    """Not one transaction, nor one savepoint, for each piece of garbage or its neighbours."""
    assert signal_and_wait(city.start_ingest(), signal.SIGTERM) == 0  # its session exists
    clean = waiting_then_committed(city, 0.0, 1)
    poisoned = waiting_then_committed(city, 0.5, 2)
    assert evidence.stored_rows(city) == 2 * REPORTS
    # Twice the messages are twice the batches; and each may be two transactions, its own and that of its rows.
    assert poisoned <= 4 * clean + 4, f"{clean} transactions without garbage, {poisoned} with it"


def test_a_flood_of_garbage_is_capped_and_counted(city: City) -> None:
    city.installation.environment |= {
        "UNDERFOOT_QUARANTINE_RATE_PER_S": str(RATE_PER_S),
        "UNDERFOOT_QUARANTINE_BURST": str(BURST),
    }
    endures = Endures(city.start_ingest(), INGEST_MB)
    began = city.value("SELECT clock_timestamp()")
    send(city, report(LAMP, now_ms(), 1, door_open=True))
    flood(city, 0.5, 3)
    city.caught_up(seconds=120)
    took_s = float(city.value("SELECT extract(epoch FROM clock_timestamp() - %s)", began))
    assert city.open_alarms(LAMP) == {"lamp.door": 2}

    kept = dict(city.rows("SELECT reason, count(*) FROM quarantine GROUP BY reason"))
    assert set(kept) == set(_REJECTED)
    for reason, count in kept.items():
        assert BURST / 2 < count <= BURST + RATE_PER_S * (took_s + 1) + 1, f"{reason}: {count} in {took_s:.0f} s"
    names = ("received", "redelivered", "stored", "duplicate", "quarantined", "discarded")
    sums = ", ".join(f"sum({name})::bigint" for name in names)
    book = dict(zip(names, city.rows(f"SELECT {sums} FROM books")[0], strict=True))
    assert book == {
        "received": 2 * REPORTS + 1,
        "redelivered": 0,
        "stored": REPORTS + 1,
        "duplicate": 0,
        "quarantined": sum(kept.values()),
        "discarded": REPORTS - sum(kept.values()),
    }
    assert evidence.stored_rows(city) == REPORTS + 1
    endures.check()
