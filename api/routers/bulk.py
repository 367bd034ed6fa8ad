"""One action on many alarms: those that a filter finds, or those that are named. In chunks, each a transaction."""

from __future__ import annotations

import logging
from functools import partial
from typing import Self

import psycopg
from fastapi import APIRouter
from pydantic import Field, model_validator

from api.access import GuardedRoute
from api.alarm_filters import AlarmSelection
from api.callers import Caller
from api.deadlock import again_after_deadlock
from api.dependencies import Configured, Pool, WhoCalls
from api.human import act, until_when
from api.models.actions import Act, BulkAnswer, Failed
from api.parameters import BigKey
from api.problems import Problem, invalid
from api.roles import V1
from api.rows import fetch_all
from underfoot.clock import CLOCK
from underfoot.settings import Settings

log = logging.getLogger("underfoot.api")

router = APIRouter(prefix=f"{V1}/alarms/bulk", tags=["alarms"], route_class=GuardedRoute)

_CHUNK = 200
"""So long the engine waits for these alarms at most, and so much is lost where it and we wait for each other."""


class BulkWanted(Act):
    """Either `filter` or `episode_keys`; and either `expected` (how many you think that are) or `dry_run`."""

    filter: AlarmSelection | None = Field(
        None, description="As the list of alarms takes it", examples=[{"area": "410502", "rule": "rain.hour"}]
    )
    episode_keys: list[BigKey] | None = Field(
        None, min_length=1, max_length=50_000, description="Instead of a filter: these", examples=[None]
    )
    expected: int | None = Field(
        None, ge=0, description="How many they are; if they aren't, nothing is done", examples=[12]
    )
    dry_run: bool = Field(False, description="Only say how many they are", examples=[False])

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if (self.filter is None) == (self.episode_keys is None):
            raise ValueError("say which: either filter, or episode_keys")
        if self.expected is None and not self.dry_run and self.filter is not None:
            raise ValueError("with a filter say how many you expect: `dry_run` = true tells")
        return self


@router.post("", summary="Act on many alarms")
def act_on_alarms(pool: Pool, caller: WhoCalls, settings: Configured, body: BulkWanted) -> BulkAnswer:
    """Each alarm is changed, or was as wanted already, or failed and is named with why: one that fails stops no other.
    What is done is audited alarm by alarm. Again is the same as once, but for comments."""
    keys = _meant(pool, body, caller, settings.bulk_most)
    if body.expected is not None and body.expected != len(keys):
        raise Problem("conflict", f"expected = {body.expected}, but they are {len(keys)}: nothing was done.")
    answer = BulkAnswer(action=body.action, dry_run=body.dry_run, matched=len(keys), changed=0, unchanged=0, failed=[])
    if body.dry_run:
        return answer
    wanted = _fixed(body, settings)
    for first in range(0, len(keys), _CHUNK):
        try:
            chunk = keys[first : first + _CHUNK]
            doing = partial(act, episode_keys=chunk, wanted=wanted, caller=caller, settings=settings)
            acted = again_after_deadlock(pool, f"bulk {wanted.action}", doing)
        except psycopg.Error as error:
            if first == 0:
                raise
            log.exception("bulk %s: stopped after %d of %d alarms", body.action, first, len(keys))
            why = f"not done: the database failed before its turn ({type(error).__name__}); send it again"
            answer.failed += [Failed(episode_key=key, why=why) for key in keys[first:]]
            break
        answer.changed += len(acted.changed)
        answer.failed += [Failed(episode_key=key, why=why) for key, why in sorted(acted.failed.items())]
    answer.unchanged = answer.matched - answer.changed - len(answer.failed)
    return answer


def _fixed(body: BulkWanted, settings: Settings) -> Act:
    """The action alone; a shelf ends at one time for all of them."""
    given = body.model_dump(include=set(Act.model_fields))
    if body.action == "shelve":
        given |= {"until": until_when(body.shelving, CLOCK.now(), settings), "minutes": None}
    return Act(**given)


def _meant(pool: Pool, body: BulkWanted, caller: Caller, most: int) -> list[int]:
    keys = sorted(set(body.episode_keys or ()))
    if body.filter is not None:
        with pool.connection() as connection:
            params = body.filter.params(connection, caller.scope) | {"limit": most + 1}
            keys = sorted(row["episode_key"] for row in fetch_all(connection, "api_alarms.list_alarms", params))
    if len(keys) > most:
        name, value = ("filter", f"more than {most} alarms") if body.filter is not None else ("episode_keys", len(keys))
        raise invalid(name, value, f"at most {most} alarms together; narrow it down", place="body")
    return keys
