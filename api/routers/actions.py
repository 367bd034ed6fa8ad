"""What people do to an alarm: acknowledge, shelve, assign, comment, close, and take back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from api.access import GuardedRoute
from api.callers import Caller
from api.dependencies import Configured, Pool, WhoCalls
from api.human import UNREASONED, CloseRefusedError, act, close, confirm, find_episode
from api.models.actions import (
    Acknowledgement,
    Act,
    ActionName,
    Assigning,
    Closing,
    ClosingAnswer,
    Command,
    Commenting,
    Judging,
    Shelving,
)
from api.models.alarms import Alarm
from api.parameters import EpisodeKeyPath
from api.problems import Problem, invalid, not_found
from api.roles import V1
from api.rows import Row
from underfoot.settings import Settings

router = APIRouter(prefix=f"{V1}/alarms/{{episode_key}}", tags=["alarms"], route_class=GuardedRoute)


@router.post("/acknowledge", summary="Acknowledge an alarm")
def acknowledge_alarm(
    pool: Pool,
    caller: WhoCalls,
    settings: Configured,
    episode_key: EpisodeKeyPath,
    body: Acknowledgement | None = None,
) -> Alarm:
    """Say that somebody has seen it. Again is the same as once; one that has cleared can still be acknowledged."""
    return _done(pool, caller, settings, episode_key, "acknowledge", note=body.note if body is not None else None)


@router.post("/unacknowledge", summary="Take an acknowledgement back")
def unacknowledge_alarm(
    pool: Pool,
    caller: WhoCalls,
    settings: Configured,
    episode_key: EpisodeKeyPath,
    body: Acknowledgement | None = None,
) -> Alarm:
    """As if nobody had seen it: it is listed, and escalates, as a new one. Again is the same as once."""
    return _done(pool, caller, settings, episode_key, "unacknowledge", note=body.note if body is not None else None)


@router.post("/comment", summary="Say something about an alarm")
def comment_on_alarm(
    pool: Pool, caller: WhoCalls, settings: Configured, episode_key: EpisodeKeyPath, body: Commenting
) -> Alarm:
    """Kept with the episode, under the caller's name. Sent twice, it is there twice."""
    return _done(pool, caller, settings, episode_key, "comment", text=body.text)


@router.post("/shelve", summary="Shelve an alarm for a time")
def shelve_alarm(
    pool: Pool, caller: WhoCalls, settings: Configured, episode_key: EpisodeKeyPath, body: Shelving
) -> Alarm:
    """Nobody is told of the alarm, nor of its next episodes, until then, or until it gets worse than now. Whoever was
    told of an episode is still told its end. Again changes until when, and why."""
    given = {"minutes": body.minutes, "until": body.until, "reason": body.reason}
    return _done(pool, caller, settings, episode_key, "shelve", **given)


@router.post("/unshelve", summary="Take an alarm from the shelf")
def unshelve_alarm(
    pool: Pool,
    caller: WhoCalls,
    settings: Configured,
    episode_key: EpisodeKeyPath,
    body: Acknowledgement | None = None,
) -> Alarm:
    """It is told of again; what was kept back, by its present state. Again is the same as once."""
    return _done(pool, caller, settings, episode_key, "unshelve", note=body.note if body is not None else None)


@router.post("/assign", summary="Say who is to see to an alarm")
def assign_alarm(
    pool: Pool, caller: WhoCalls, settings: Configured, episode_key: EpisodeKeyPath, body: Assigning
) -> Alarm:
    """Instead of whoever was to until now. Again is the same as once."""
    return _done(pool, caller, settings, episode_key, "assign", to=body.to)


@router.post("/unassign", summary="Say that nobody in particular is to see to an alarm")
def unassign_alarm(pool: Pool, caller: WhoCalls, settings: Configured, episode_key: EpisodeKeyPath) -> Alarm:
    """Again is the same as once."""
    return _done(pool, caller, settings, episode_key, "unassign")


@router.post("/verdict", summary="Say whether an alarm was real or false")
def judge_alarm(pool: Pool, caller: WhoCalls, episode_key: EpisodeKeyPath, body: Judging) -> Alarm:
    """What people found on the spot, of an alarm that is open or over: what rules tried on history are held against.
    Again is the same as once."""
    with pool.connection() as connection:
        row = confirm(connection, episode_key, caller, body)
    if row is None:
        raise _no_alarm(episode_key)
    return Alarm.of(row)


@router.post(
    "/close",
    summary="Close an open alarm by hand",
    status_code=202,
    responses={200: {"description": "It had cleared before; nothing is done", "model": ClosingAnswer}},
)
def close_alarm(
    pool: Pool, caller: WhoCalls, response: Response, episode_key: EpisodeKeyPath, body: Closing
) -> ClosingAnswer:
    """Ask for an open alarm's end. The answer comes before the end: look at the alarm again, or send the same again."""
    try:
        with pool.connection() as connection:
            closed = close(connection, episode_key, caller, body.reason)
    except CloseRefusedError as refused:
        raise Problem("conflict", str(refused)) from None
    if closed is None:
        raise _no_alarm(episode_key)
    if closed.alarm["cleared_at"] is not None:
        response.status_code = 200
    return ClosingAnswer(command=_command(closed.command), alarm=Alarm.of(closed.alarm))


def _done(pool: Pool, caller: Caller, settings: Settings, episode_key: int, action: ActionName, **given: Any) -> Alarm:
    """Do it, and answer the alarm as it is then."""
    with pool.connection() as connection:
        acted = act(connection, [episode_key], Act(action=action, **given), caller, settings)
        row = find_episode(connection, episode_key, caller.scope)
    if row is None:
        raise _no_alarm(episode_key)
    if acted.failed.get(episode_key) == UNREASONED:
        raise invalid("reason", given["reason"], UNREASONED, place="body")
    return Alarm.of(row)


def _no_alarm(episode_key: int) -> Problem:
    return not_found(f"alarm with the episode key {episode_key}")


def _command(row: Row | None) -> Command | None:
    if row is None:
        return None
    return Command(
        key=row["key"],
        state="waiting" if row["consumed_at"] is None else "done",
        posted_at=row["created_at"],
        consumed_at=row["consumed_at"],
        outcome=row["outcome"],
    )
