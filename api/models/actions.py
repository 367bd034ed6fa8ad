"""What people may ask to be done to alarms, one by one or together, and what is answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.models.alarms import Alarm
from api.parameters import PRINTABLE, DeviceId, Instant, IntKey, KeyName, Reasoning

ActionName = Literal["acknowledge", "unacknowledge", "shelve", "unshelve", "assign", "unassign", "comment", "close"]
Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=PRINTABLE)]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Acknowledgement(_Wanted):
    """Optional body of an acknowledgement, and of taking one back."""

    note: Reasoning | None = Field(None, description="Kept in the audit log", examples=["已电话通知养护所"])


class Judging(_Wanted):
    """What people found where an alarm was."""

    verdict: Literal["real", "false"] | None = Field(
        description="false: a false alarm (误报); null takes back what was said", examples=["false"]
    )
    note: Reasoning | None = Field(None, description="Kept in the audit log", examples=["现场无积水，探头被杂物遮挡"])


class Commenting(_Wanted):
    text: Reasoning = Field(description="Kept with the episode", examples=["养护所反馈：井圈松动，明日更换"])


class Assigning(_Wanted):
    to: Person = Field(description="Who is to see to it", examples=["王工"])


class Shelving(_Wanted):
    """For how long nobody is told of an alarm: `minutes` from now, or `until` then."""

    minutes: int | None = Field(None, ge=1, description="From now on", examples=[120])
    until: Instant | None = Field(None, description="Instead of minutes", examples=[None])
    reason: Reasoning | None = Field(None, description="Needed for red", examples=["道路施工，每日进出"])

    @model_validator(mode="after")
    def _says_how_long(self) -> Self:
        if (self.minutes is None) == (self.until is None):
            raise ValueError("say how long: either minutes, or until")
        return self

    def ends(self, now: datetime) -> datetime:
        return self.until if self.until is not None else now + timedelta(minutes=self.minutes or 0)


class Closing(_Wanted):
    """Why an open alarm is closed by hand."""

    reason: Reasoning = Field(
        description="Kept in the audit log and with the alarm", examples=["现场核实为误报，传感器已复位"]
    )


class Command(BaseModel):
    """A command to the shard's holder, which alone writes the condition of alarms."""

    key: str = Field(description="The same for every try to close this episode", examples=["close:4711"])
    state: Literal["waiting", "done"]
    posted_at: Instant
    consumed_at: Instant | None = Field(examples=[None])
    outcome: str | None = Field(examples=[None])


class ClosingAnswer(BaseModel):
    command: Command | None = Field(description="Null where the alarm had cleared before")
    alarm: Alarm


_TAKES: dict[ActionName, frozenset[str]] = {
    "acknowledge": frozenset({"note"}),
    "unacknowledge": frozenset({"note"}),
    "shelve": frozenset({"minutes", "until", "reason"}),
    "unshelve": frozenset({"note"}),
    "assign": frozenset({"to"}),
    "unassign": frozenset(),
    "comment": frozenset({"text"}),
    "close": frozenset({"reason"}),
}
_NEEDS: dict[ActionName, str] = {"assign": "to", "comment": "text", "close": "reason"}
_GIVEN = ("note", "reason", "minutes", "until", "to", "text")


class Act(_Wanted):
    """One action, with what it takes."""

    action: ActionName = Field(examples=["acknowledge"])
    note: Reasoning | None = Field(None, description="acknowledge, unacknowledge, unshelve", examples=["统一确认"])
    reason: Reasoning | None = Field(None, description="shelve, close", examples=[None])
    minutes: int | None = Field(None, ge=1, description="shelve", examples=[None])
    until: Instant | None = Field(None, description="shelve, instead of minutes", examples=[None])
    to: Person | None = Field(None, description="assign", examples=[None])
    text: Reasoning | None = Field(None, description="comment", examples=[None])

    @model_validator(mode="after")
    def _fits(self) -> Self:
        stray = [name for name in _GIVEN if getattr(self, name) is not None and name not in _TAKES[self.action]]
        if stray:
            raise ValueError(f"{self.action} does not take {', '.join(stray)}")
        needed = _NEEDS.get(self.action)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"{self.action} needs {needed}")
        if self.action == "shelve" and (self.minutes is None) == (self.until is None):
            raise ValueError("shelve needs either minutes, or until")
        return self

    @property
    def shelving(self) -> Shelving:
        return Shelving(minutes=self.minutes, until=self.until, reason=self.reason)


class Failed(BaseModel):
    episode_key: int = Field(examples=[4711])
    why: str = Field(examples=["red alarms are not shelved without a reason"])


class BulkAnswer(BaseModel):
    """What became of the alarms that were meant. All of them: matched = changed + unchanged + failed."""

    action: ActionName
    dry_run: bool = Field(description="true: nothing was done", examples=[False])
    matched: int = Field(description="How many were meant", examples=[12])
    changed: int = Field(examples=[11])
    unchanged: int = Field(description="They were as wanted already", examples=[1])
    failed: list[Failed] = Field(description="With them nothing was done", examples=[[]])


_Rule = Annotated[str, Field(pattern=r"^[a-z_]+\.([a-z0-9_]+|\*)$", max_length=100)]
OrderName = KeyName


class OrderBegun(_Wanted):
    """A crew has arrived: what its order is about, on an asset or on one device of it."""

    asset: IntKey | None = Field(None, description="The asset's key", examples=[312])
    device: DeviceId | None = Field(None, description="Instead of the asset: this device alone", examples=[None])
    rules: list[_Rule] = Field(
        min_length=1,
        max_length=100,
        description="Which kinds of alarm the order is about: rules, or `family.*` for all rules of that name."
        " Others go on as ever: a battery order must not hide an open cover",
        examples=[["cover.battery", "cover.offline"]],
    )
    order: OrderName = Field(description="The work order's reference", examples=["WO-20260701-017"])
    reason: Reasoning = Field(description="What people read", examples=["更换电池"])

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if (self.asset is None) == (self.device is None):
            raise ValueError("say where: either asset, or device")
        return self


class OrderDone(BaseModel):
    order: str = Field(examples=["WO-20260701-017"])
    ended: int = Field(description="How many alarms are told of again", examples=[2])
