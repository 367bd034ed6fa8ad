"""docs/people.md: its table of who may call what is that of api/roles.py. `UNDERFOOT_WRITE_DOCS=1 pytest` on this file
writes it."""

from __future__ import annotations

import os
from pathlib import Path

from api.roles import NEEDED, Door, Need, Reach, Role

PAGE = Path(__file__).parents[2] / "docs" / "people.md"
BEGIN, END = "<!-- table: api/roles.py -->\n", "<!-- end of table -->"
COLUMNS = (Role.viewer, Role.operator, Role.crew, Role.integrator, Role.administrator, Role.broker)
REACHES = {
    Reach.open: "—",
    Reach.same: "alike for all",
    Reach.own: "one's own",
    Reach.within: "**within the scope**",
    Reach.whole: "whole city only",
}


def _line(key: tuple[str, str], need: Need) -> str:
    method, path = key
    if isinstance(need.role, Door):
        who = [f"door: {need.role.value}", *([""] * (len(COLUMNS) - 1))]
    elif need.role is None:
        who = ["anybody", *([""] * (len(COLUMNS) - 1))]
    else:
        who = ["✓" if need.admits(role) else "" for role in COLUMNS]
    return f"| {method} `{path}` | {' | '.join(who)} | {REACHES[need.reach]} |"


def table() -> str:
    head = [f"| route | {' | '.join(role.value for role in COLUMNS)} | where |", "|---" * 8 + "|"]
    return (
        "\n".join([*head, *(_line(key, NEEDED[key]) for key in sorted(NEEDED, key=lambda key: (key[1], key[0])))])
        + "\n"
    )


def test_the_table_in_the_documentation_is_the_one_in_force() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    written, _, after = rest.partition(END)
    if os.environ.get("UNDERFOOT_WRITE_DOCS") == "1":
        PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
        return
    assert written.strip() == table().strip(), "UNDERFOOT_WRITE_DOCS=1 pytest tests/unit/test_api_rights_documented.py"
