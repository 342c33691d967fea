"""What arrives while others are busy, by a clock that stands still."""

import pytest

from ttscribe.errors import AudioUnreadable, DeviceUnavailable
from ttscribe.live import Arrivals

PER_SECOND = 32_000


def source(*pieces):
    """A ``read`` that gives these, raises those that are errors, and ends."""
    remaining = iter(pieces)

    def read(count):
        piece = next(remaining, b"")
        if isinstance(piece, Exception):
            raise piece
        return piece

    return read


def test_everything_is_given_in_order_to_the_end():
    pieces = [bytes([number]) * 3000 for number in range(200)]
    assert b"".join(Arrivals(source(*pieces), PER_SECOND)) == b"".join(pieces)


def test_what_goes_wrong_is_raised_after_all_that_came_before():
    arrivals = iter(Arrivals(source(b"abc", DeviceUnavailable("gone")), PER_SECOND))
    assert next(arrivals)[:3] == b"abc"
    with pytest.raises(DeviceUnavailable, match="gone"):
        next(arrivals)


def test_a_source_that_cannot_be_read_is_one_of_our_errors():
    with pytest.raises(AudioUnreadable, match=r"the sound cannot be read on \(Input/output error\)"):
        list(Arrivals(source(OSError(5, "Input/output error")), PER_SECOND))


def test_what_waits_is_given_though_it_was_ended():
    arrivals = Arrivals(lambda count: b"x", PER_SECOND)
    given = iter(arrivals)
    assert next(given)
    arrivals.end()
    assert set(b"".join(given)) <= {ord("x")}


@pytest.mark.parametrize(("seconds", "late"), [(30, True), (5, False)])
def test_one_line_says_that_decoding_is_too_slow_for_a_live_source(seconds, late, caplog):
    times = iter([0.0])
    piece = bytes(seconds * PER_SECOND)
    assert sum(map(len, Arrivals(source(piece, piece), PER_SECOND, lambda: next(times, 100.0)))) == 2 * len(piece)
    said = "decoding is slower than speech, and "
    assert [record.getMessage().startswith(said) for record in caplog.records] == [True] * late


def test_a_file_that_comes_faster_than_it_is_heard_is_not_late(caplog):
    assert [*Arrivals(source(bytes(60 * PER_SECOND)), PER_SECOND, lambda: 0.0)]
    assert not caplog.records


def test_a_source_waits_when_a_minute_of_it_does():
    asked = []

    def endless(count):
        asked.append(count)
        return bytes(20 * PER_SECOND)

    arrivals = Arrivals(endless, PER_SECOND, lambda: 0.0)
    given = iter(arrivals)
    for _ in range(5):
        assert len(next(given)) <= 80 * PER_SECOND
    arrivals.end()
    assert set(asked) == {PER_SECOND // 10}
