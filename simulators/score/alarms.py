"""The alarms of a run, as they are on record: read from the database, or from the file that was written then, so that a
score can be repeated without the database.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from simulators.score.errors import ScoreError
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_NOT_TOLD = frozenset({"shelved", "out_of_service", "flapping"})


class Change(BaseModel):
    """From then on the episode had this severity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_ms: int
    severity: int


class Alarm(BaseModel):
    """One episode. Times are epoch milliseconds of event time; `recorded_ms`: when it was committed, by the
    installation's clock. `severity`: the worst. `suppressed`: what kept it from being told while it was open.
    `explained_by`: by which rules an alarm explained it from the beginning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alarm_key: int
    episode: int
    rule_id: str
    subject_kind: str
    subject: str = ""
    device_id: str = ""
    asset_code: str = ""
    pipe_id: str = ""
    gateway_id: str = ""
    title: str = ""
    raised_ms: int
    recorded_ms: int
    cleared_ms: int | None = None
    severity: int
    changes: tuple[Change, ...] = ()
    withheld: bool = False
    suppressed: tuple[str, ...] = ()
    explained_by: tuple[str, ...] = ()
    proof: dict[str, Any] = {}

    @property
    def hidden(self) -> bool:
        """Nobody was told, neither of it nor of what causes it."""
        return self.withheld and "by_design" not in self.suppressed and bool(_NOT_TOLD & set(self.suppressed))

    def worst_within(self, from_ms: float, until_ms: float) -> int:
        """The worst it was while that lasted; 0 where it was not open."""
        if self.raised_ms > until_ms or (self.cleared_ms is not None and self.cleared_ms < from_ms):
            return 0
        changes = self.changes or (Change(at_ms=self.raised_ms, severity=self.severity),)
        ends = [*(change.at_ms for change in changes[1:]), float("inf")]
        return max(
            (
                change.severity
                for change, end in zip(changes, ends, strict=True)
                if change.at_ms <= until_ms and end >= from_ms
            ),
            default=0,
        )


class Record(BaseModel):
    """What the alarms of a run were. `same_clock`: the installation's clock was that of the devices (a run at the pace
    of life, or an installation in lapsed time), so that it says when somebody could know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    same_clock: bool
    alarms: tuple[Alarm, ...]

    def known_ms(self, alarm: Alarm) -> int:
        """When somebody could know of it."""
        return max(alarm.recorded_ms, alarm.raised_ms) if self.same_clock else alarm.raised_ms

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Record:
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ScoreError(f"{path}: there is no such file of alarms") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ScoreError(f"{path}: {where}: {first['msg']}: no alarms of a run") from None


def read_alarms(
    connection: Connection, begins_ms: int, ends_ms: int, devices: list[str], played_from_ms: float
) -> Record:
    """All episodes that were raised in that time, of whatever subject. `devices` are the run's: a database that does
    not know them is another city's. `played_from_ms`: when the run was played by the machine's clock; what is on record
    as of earlier was recorded by a clock that ran with the devices'."""
    known = len(connection.execute(statement("simulated.known_devices"), {"device_ids": devices}).fetchall())
    if known < len(devices):
        raise ScoreError(
            f"the database knows {known} of the run's {len(devices)} devices: it is another city's;"
            " name the alarms of the run by --alarms"
        )
    params = {"begins_at": _moment(begins_ms), "ends_at": _moment(ends_ms)}
    with connection.cursor(name="score_alarms") as cursor:
        cursor.execute(statement("score.alarms"), params)
        names = [column.name for column in cursor.description or ()]
        alarms = tuple(Alarm.model_validate(dict(zip(names, row, strict=True))) for row in cursor)
    same_clock = played_from_ms <= begins_ms or any(alarm.recorded_ms < played_from_ms for alarm in alarms)
    return Record(same_clock=same_clock, alarms=alarms)


def _moment(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
