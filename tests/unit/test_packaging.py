"""Our packages have everyday names on the import path; nothing that is installed beside us may have them too."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, PathDistribution, distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

OURS = {"api", "ingest", "alerts", "simulators", "deploy", "underfoot"}


def top_level_names(distribution: Distribution) -> set[str]:
    """The packages and modules that a distribution puts directly on the import path."""
    if distribution.files is None:
        return set((distribution.read_text("top_level.txt") or "").split())
    names = set()
    for file in distribution.files:
        first = file.parts[0]
        if first in ("..", "/") or first.endswith((".dist-info", ".egg-info", ".data")):
            continue
        names.add(first if len(file.parts) > 1 else first.partition(".")[0])
    return names


def collisions(installed: Iterable[Distribution]) -> set[tuple[str, str]]:
    return {
        (distribution.metadata["Name"], name)
        for distribution in installed
        if distribution.metadata["Name"] != "underfoot"
        for name in top_level_names(distribution) & OURS
    }


def test_no_installed_distribution_has_a_top_level_name_of_ours() -> None:
    installed = list(distributions())
    assert {"psycopg", "typer"} <= {name for each in installed for name in top_level_names(each)}
    assert collisions(installed) == set()


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_names_lead_to_this_checkout(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin == str(Path(__file__).parents[2] / name / "__init__.py")


@pytest.mark.parametrize(
    "file", ["api/__init__.py", "ingest.py", "alerts/rules.py", "deploy.cpython-311-x86_64-linux-gnu.so"]
)
def test_the_guard_sees_a_collision(tmp_path: Path, file: str) -> None:
    (tmp_path / "intruder-1.0.dist-info").mkdir()
    (tmp_path / "intruder-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: intruder\nVersion: 1.0\n"
    )
    record = f"{file},,\nintruder-1.0.dist-info/METADATA,,\n../../bin/api,,\nintruder/api/x.py,,\n"
    (tmp_path / "intruder-1.0.dist-info" / "RECORD").write_text(record)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    intruder = PathDistribution(tmp_path / "intruder-1.0.dist-info")
    assert collisions([intruder]) == {("intruder", file.partition("/")[0].partition(".")[0])}


def test_a_distribution_without_collision_passes(tmp_path: Path) -> None:
    (tmp_path / "quiet-1.0.dist-info").mkdir()
    (tmp_path / "quiet-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: quiet\nVersion: 1.0\n")
    (tmp_path / "quiet-1.0.dist-info" / "RECORD").write_text("quiet/api.py,,\n../../../bin/deploy,,\n")
    assert collisions([PathDistribution(tmp_path / "quiet-1.0.dist-info")]) == set()
