"""What a load sends: so many reports, and so much garbage between them, all distinct."""

from __future__ import annotations

import pytest

from simulators.city import City
from simulators.load import Load, LoadError, _Encoder
from simulators.roster import roster_of

ROSTER = roster_of(City(devices=60, pace=300).rows())


def messages(load: Load) -> list[tuple[bytes, bytes]]:
    encoder = _Encoder(ROSTER, load, lambda _device: 0)
    made = [each for number in range(load.reports) for each in encoder.encode(number, 1_000 + number)]
    return [(frame.head, frame.tail) for _, frame in made]


@pytest.mark.parametrize(("share", "pieces"), [(0.0, 0), (0.25, 100), (0.5, 300), (0.75, 900), (0.1, 33)])
def test_its_share_of_all_messages_is_garbage(share: float, pieces: int) -> None:
    load = Load(300, garbage=share)
    sent = messages(load)
    assert len(sent) == 300 + pieces
    assert load.garbage_before(load.reports) == pieces
    assert len(set(sent)) == len(sent)
    assert sum(tail.startswith(b'{"ts":') for _, tail in sent) == 300


def test_garbage_is_spread_evenly() -> None:
    kinds = [tail.startswith(b'{"ts":') for _, tail in messages(Load(100, garbage=0.5))]
    assert all(kinds[at] != kinds[at + 1] for at in range(1, len(kinds) - 1))


@pytest.mark.parametrize("share", [-0.1, 1.0, 7])
def test_a_share_that_cannot_be(share: float) -> None:
    with pytest.raises(LoadError, match="garbage"):
        Load(1, garbage=share)
