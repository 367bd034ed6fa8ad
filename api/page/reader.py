"""Reader: who looks at the page, what he may do there, and in whose name."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.regions.human import by_platform
from api.masking import masked_name, sees_names
from api.page.facts import Named
from api.roles import Role


@dataclass(frozen=True, slots=True)
class Reader:
    """`actor`: as the audit log names him. `companions`: the episodes that the message with his link told of beside
    this one; acknowledging takes them too. `sees_names`: of people, or else only the family name."""

    actor: str
    by_link: bool
    may_acknowledge: bool
    sees_names: bool
    companions: tuple[int, ...] = ()


def of_link(sink: str, companions: tuple[int, ...] = ()) -> Reader:
    """Whoever a delivery was sent to: he works there with the others, so he knows their names."""
    return Reader(f"link:{sink}", by_link=True, may_acknowledge=True, sees_names=True, companions=companions)


def of_caller(name: str, role: Role, *, may_acknowledge: bool) -> Reader:
    return Reader(name, by_link=False, may_acknowledge=may_acknowledge, sees_names=sees_names(role))


SYSTEM = {
    "engine": "系统",
    "dispatch": "系统",
    "system": "系统",
    "shipped": "系统",
}

_AUDIENCES = {"platform": "一网统管平台", "crew": "养护班组", "duty": "值班人员"}


def who(actor: str, named: Named, *, sees_names: bool) -> str:
    """An actor of the record as people call him. Whoever has no name there is called what he is known by."""
    if actor in SYSTEM:
        return SYSTEM[actor]
    if by_platform(actor):
        return _AUDIENCES["platform"]
    name = actor.removeprefix("link:")
    person = named.of_person.get(name) if name == actor else None
    person = person or named.of_sink.get(name)
    if person is not None:
        return person if sees_names else masked_name(person)
    sink = named.sinks.get(name)
    if sink is not None:
        return sink["maintenance_unit"] or _AUDIENCES[sink["audience"]]
    name = name.removeprefix("cli:")
    # Of somebody who is named freely, as by an assignment.
    return name if sees_names or not any("\u3400" <= letter <= "\u9fff" for letter in name) else masked_name(name)
