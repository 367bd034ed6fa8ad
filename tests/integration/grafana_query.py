"""What Grafana's PostgreSQL datasource does to a query on its way to the database, in its order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

_MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^\)]*)\)")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Asked:
    """What a dashboard adds to a query: the range, the interval, the values chosen, and what stands for all of them."""

    since: datetime
    until: datetime
    interval: str
    all_values: dict[str, str]
    chosen: dict[str, list[str]] = field(default_factory=dict)

    def expand(self, query: str) -> str:
        """The query as it reaches the database, in the order in which the datasource replaces."""
        query = re.sub(r"\$\{([a-z]+):sqlstring\}", self._variable, query)
        query = query.replace("$__interval_ms", str(_seconds(self.interval) * 1000))
        query = query.replace("$__interval", self.interval)
        query = query.replace("$__unixEpochFrom()", str(int(self.since.timestamp())))
        query = query.replace("$__unixEpochTo()", str(int(self.until.timestamp())))
        return _MACRO.sub(self._macro, query)

    def _variable(self, found: re.Match[str]) -> str:
        values = self.chosen.get(found[1])
        if values is None:
            return self.all_values[found[1]]  # put in as it is, without quotes
        return ",".join("'{}'".format(value.replace("'", "''")) for value in values)

    def _macro(self, found: re.Match[str]) -> str:
        name, arguments = found[1], [argument.strip(" ") for argument in found[2].split(",")]
        since, until = (f"'{at.astimezone(UTC).isoformat().replace('+00:00', 'Z')}'" for at in (self.since, self.until))
        column = arguments[0]
        if name == "__timeGroup" and found.string[found.end() :].startswith(","):
            name = "__timeGroupAlias"
        match name:
            case "__time":
                return f'{column} AS "time"'
            case "__timeEpoch":
                return f'extract(epoch from {column}) as "time"'
            case "__timeFilter":
                return f"{column} BETWEEN {since} AND {until}"
            case "__timeFrom":
                return since
            case "__timeTo":
                return until
            case "__timeGroup" | "__timeGroupAlias":
                bucket = f"time_bucket('{_seconds(arguments[1].strip(chr(39))):.3f}s',{column})"
                return bucket if name == "__timeGroup" else f'{bucket} AS "time"'
            case "__unixEpochFilter":
                return f"{column} >= {int(self.since.timestamp())} AND {column} <= {int(self.until.timestamp())}"
            case "__unixEpochGroup" | "__unixEpochGroupAlias":
                width = _seconds(arguments[1].strip(chr(39)))
                group = f"floor(({column})/{width})*{width}"
                return group if name == "__unixEpochGroup" else f'{group} AS "time"'
        raise ValueError(f"unknown macro {name}")


def _seconds(interval: str) -> int:
    return int(interval[:-1]) * _UNITS_S[interval[-1]]
