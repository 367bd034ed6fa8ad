"""What every raise asks reads no other alarm, whatever the day on which its plan was made."""

from __future__ import annotations

import psycopg
from psycopg.types.json import Jsonb

from alerts.record.locked import Locked
from tests.integration.plans import fetched
from underfoot.storage.statements import statement

QUIET, STORM = 3_000, 2_000


def test_what_is_open_of_a_subject_is_found_by_its_key(database: str) -> None:
    """Made when next to nothing was open, a plan that begins there would read all that the storm has opened."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO alarms (subject_kind, subject_key, rule_id, episode)"
            " SELECT 'device', n, 'cover.open', 1 FROM generate_series(1, %s) n",
            [QUIET + STORM],
        )
        raised = (
            "INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity,"
            " raised_at, raised_received_at, cleared_at, proof)"
            " SELECT alarm_key, 1, 1, '井盖打开', 'active', 4, 4, now(), now(), CASE WHEN %s THEN now() END, '{}'"
            " FROM alarms WHERE subject_key BETWEEN %s AND %s"
        )
        connection.execute(raised, [True, 1, QUIET])
        connection.execute("ANALYZE")
        connection.execute(raised, [False, QUIET + 1, QUIET + STORM])
        asked = [{"subject_kind": "device", "subject_key": key, "rule_id": "cover.open"} for key in (7, QUIET + 7)]
        params = {"subjects": Jsonb(asked)}
        found = connection.execute(statement("alarms.open_episodes_of"), params).fetchall()
        answer = connection.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + statement("alarms.open_episodes_of"), params
        ).fetchone()
    assert len(found) == 1
    assert answer is not None
    rows, _ = fetched(answer[0][0]["Plan"], {"alarms", "episodes"})
    assert rows <= 4, answer[0]


def test_its_plan_is_kept_by_nobody(database: str) -> None:
    with psycopg.connect(database) as connection:
        for key in range(1, 20):
            Locked(connection).lock_subjects([("device", key, "cover.open")])
            Locked(connection).lock_keys([key])
        kept = [row[0] for row in connection.execute("SELECT statement FROM pg_prepared_statements").fetchall()]
    assert any("INSERT INTO alarms" in one for one in kept), "here statements are kept"
    assert not [one for one in kept if "episodes" in one]
