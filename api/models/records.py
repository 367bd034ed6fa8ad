"""Answers about what is kept for the record: quarantine, books."""

from __future__ import annotations

from base64 import b64encode
from typing import Self

from pydantic import BaseModel, Field

from api.parameters import Instant, Page
from api.rows import Row


class Quarantined(BaseModel):
    quarantine_key: int = Field(examples=[77])
    shard: str = Field(examples=["main"])
    received_at: Instant
    topic: str = Field(examples=["underfoot/v1/410502/cover/cover-9999/report"])
    bytes: int = Field(description="Length of the payload", examples=[143])
    reason: str = Field(examples=["unknown_device"])
    detail: str = Field(examples=["no device is registered as 'cover-9999'"])
    device_id: str | None = Field(examples=["cover-9999"])
    source: str = Field(description="mqtt, http or sl651", examples=["mqtt"])
    vendor: str = Field(description="The account's that pushed it, or the device's; empty: unknown", examples=["甲厂"])
    replays: int = Field(description="How often it was replayed and rejected again", examples=[0])
    released_at: Instant | None = Field(description="When a replay of it was understood", examples=[None])


class QuarantinePage(Page):
    items: list[Quarantined]


class QuarantinedMessage(Quarantined):
    """The message whole, as bytes and, where it is UTF-8, as text."""

    payload_base64: str = Field(examples=["eyJ0cyI6IDF9"])
    payload_text: str | None = Field(description="Null: the payload is not UTF-8", examples=['{"ts": 1}'])
    digest: str = Field(description="SHA-256 over topic and payload", examples=["9f86d081884c7d65"])
    packet_id: int = Field(examples=[41])

    @classmethod
    def of(cls, row: Row) -> Self:
        payload: bytes = row["payload"]
        try:
            text: str | None = payload.decode()
        except UnicodeDecodeError:
            text = None
        return cls.model_validate(row | {"payload_base64": b64encode(payload).decode(), "payload_text": text})


class ReasonCount(BaseModel):
    reason: str = Field(examples=["unknown_device"])
    messages: int = Field(examples=[12])
    newest: Instant


class GroupCount(ReasonCount):
    source: str = Field(examples=["mqtt"])
    vendor: str = Field(description="Empty: unknown", examples=["甲厂"])
    oldest: Instant


class QuarantineCounts(BaseModel):
    messages: int = Field(examples=[12])
    reasons: list[ReasonCount] = Field(description="The most frequent first")
    groups: list[GroupCount] = Field(description="By reason, source and vendor; the most frequent first")

    @classmethod
    def of(cls, rows: list[Row]) -> Self:
        groups = [GroupCount.model_validate(row) for row in rows]
        reasons: dict[str, ReasonCount] = {}
        for group in groups:
            known = reasons.setdefault(group.reason, ReasonCount(reason=group.reason, messages=0, newest=group.newest))
            known.messages += group.messages
            known.newest = max(known.newest, group.newest)
        ordered = sorted(reasons.values(), key=lambda each: (-each.messages, each.reason))
        return cls(messages=sum(group.messages for group in groups), reasons=ordered, groups=groups)


class ReplayedMessages(BaseModel):
    """What a replay did. Understood messages leave quarantine as the shard's holder gets to them."""

    matching: int = Field(description="Messages that were waiting to be understood, before", examples=[12])
    under_way: int = Field(description="Of them, in the inbox already", examples=[0])
    posted: int = Field(description="Posted to the inbox now, or what would be", examples=[12])
    dry_run: bool = Field(examples=[False])


class Tally(BaseModel):
    """Counts of what the database did. They balance:
    received + unpacked = stored + duplicate + quarantined + forwarded + discarded."""

    received: int = Field(description="Messages, counted before decoding", examples=[1000])
    redelivered: int = Field(description="Of them, marked as redelivered by the broker", examples=[3])
    by_inbox: int = Field(description="Of them, pushed, over TCP, replayed or forwarded to the shard", examples=[20])
    unpacked: int = Field(description="Reports beyond the first that array payloads held", examples=[40])
    stored: int = Field(examples=[1020])
    duplicate: int = Field(examples=[12])
    quarantined: int = Field(examples=[8])
    forwarded: int = Field(description="Passed on to the shard that the device belongs to", examples=[0])
    discarded: int = Field(description="Of a flood of rejected messages: counted, not kept", examples=[0])
    late: int = Field(description="Of stored", examples=[5])

    @property
    def difference(self) -> int:
        became = self.stored + self.duplicate + self.quarantined + self.forwarded + self.discarded
        return self.received + self.unpacked - became


class BookMinute(Tally):
    shard: str = Field(examples=["main"])
    minute: Instant = Field(description="Of commit")


class BooksPage(Page):
    items: list[BookMinute]


class ShardTotal(Tally):
    shard: str = Field(examples=["main"])


class Balance(BaseModel):
    balanced: bool = Field(description="Whether every shard's books balance")
    difference: int = Field(
        description="received + unpacked − stored − duplicate − quarantined − forwarded − discarded; 0 when they do",
        examples=[0],
    )


class BooksTotals(BaseModel):
    total: Tally
    balance: Balance
    shards: list[ShardTotal]
