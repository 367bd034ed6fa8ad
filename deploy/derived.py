"""Files that are derived from the code and kept in the repository, so that they can be read without running it.

`python -m deploy.derived` writes them anew; a test fails while one of them is stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from deploy.grafana.provision import dashboard_file, shipped_dashboard
from ingest.codecs.cbor_v1 import FIELDS
from ingest.reasons import MEANING, Rejection
from underfoot.families import FAMILIES, Column, Family
from underfoot.reports import Quality

CHECKOUT = Path(__file__).resolve().parent.parent
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "dashboards" / "overview.json"
PROTOCOL = CHECKOUT / "docs" / "protocol.md"

_SECTION = re.compile(r"(<!-- derived: (?P<name>[a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def derived() -> dict[Path, str]:
    """What each of these files should hold."""
    return {DASHBOARD: dashboard_file(shipped_dashboard()), PROTOCOL: protocol(PROTOCOL.read_text(encoding="utf-8"))}


def protocol(page: str) -> str:
    """The page with its derived sections as the declarations say; what people wrote around them stays."""
    sections: dict[str, Callable[[], str]] = {"families": _families, "marks": _marks, "reasons": _reasons}
    found = [match["name"] for match in _SECTION.finditer(page)]
    if sorted(found) != sorted(sections):
        raise ValueError(f"{PROTOCOL}: has the sections {found}, needs each of {list(sections)} once")
    return _SECTION.sub(lambda match: f"{match[1]}\n{sections[match['name']]()}\n\n{match[3]}", page)


def _families() -> str:
    return "\n\n".join(_family(family) for family in FAMILIES.values())


def _family(family: Family) -> str:
    rows = "\n".join(_field(family, column) for column in family.columns)
    return (
        f"### `{family.name}` {family.label}\n\n"
        f"Expected every {_duration(family.default_interval_s)}, unless the ledger says otherwise.\n\n"
        f"| field | no. | 名称 | type | unit | range | resolution | |\n|---|---|---|---|---|---|---|---|\n{rows}"
    )


def _field(family: Family, column: Column) -> str:
    about = family.model.model_fields[column.name].description or ""
    kind = {"boolean": "true / false", "smallint": "integer"}.get(column.type, "number")
    if column.choices:
        kind = "one of " + ", ".join(f"{value} {name}" for name, value in column.choices.items())
    possible = "" if column.low is None else f"{_number(column.low)} … {_number(column.high)}"
    number = str(FIELDS[family.name].index(column.name))
    cells = [f"`{column.name}`", number, column.label, kind, column.unit, possible, _number(column.resolution), about]
    return f"| {' | '.join(cells)} |".replace("  |", " |")


def _marks() -> str:
    rows = "\n".join(f"| {mark.value} | `{mark.name}` | {_MARKS[mark]} |" for mark in Quality)
    return f"| bit | mark | what it says |\n|---|---|---|\n{rows}"


_MARKS: dict[Quality, str] = {
    Quality.time_absent: "the report had no `ts`: it is filed under the time of receipt",
    Quality.time_untrusted: "`ts` was outside [received − 7 d, received + 5 min]: filed under the time of receipt",
    Quality.time_unreadable: "`ts` could not be read: filed under the time of receipt",
    Quality.clock_stepped: "a higher `seq` with an older `ts`: the clock was set back; filed under the time of receipt",
    Quality.late: "older than this device's newest report",
    Quality.values_set_aside: "at least one value could not be: kept in `extra`, the other values live",
    Quality.fields_unknown: "at least one field is not the family's: kept in `extra`",
}


def _reasons() -> str:
    rows = "\n".join(f"| `{reason.value}` | {MEANING[reason]} |" for reason in Rejection)
    return f"| reason | meaning |\n|---|---|\n{rows}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"
    return text.replace(",", " ").replace("-", "−")


def _duration(seconds: int) -> str:
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            count = seconds // size
            return name if count == 1 else f"{count} {name}s"
    return f"{seconds} seconds"


def main() -> None:
    for path, text in derived().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
