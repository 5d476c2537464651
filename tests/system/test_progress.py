import itertools

import pytest

from adl_tf.system import progress


def test_the_remaining_time_leaves_out_how_long_the_start_took(capsys, monkeypatch):
    """A hundred seconds until the first step is done, which builds a graph; later ones take one."""
    monkeypatch.setattr(progress, "_LOG", 0.0)
    seconds = itertools.count(100)
    with progress.Progress(10) as bar:
        start, now = bar._bar.start_t, [0.0]
        bar._bar._time = lambda: start + now[0]
        shown = []
        for _ in range(4):
            now[0] = next(seconds)
            bar.advance(1, "loss: 2")
            shown.append(capsys.readouterr().err.split("<")[-1])
    assert shown[0].startswith("?") and "loss: 2" in shown[0]
    assert shown[3].startswith("00:06")


def test_the_time_of_later_stages_is_added(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_LOG", 0.0)
    monkeypatch.setenv(progress.STAGE, "train 1/3")
    monkeypatch.setenv(progress.SECONDS_AFTER, "120")
    with progress.Progress(4) as bar:
        start, now = bar._bar.start_t, [0.0]
        bar._bar._time = lambda: start + now[0]
        for now[0] in (50.0, 60.0, 70.0):
            bar.advance(1)
    assert "train 1/3" in (shown := capsys.readouterr().err)
    assert "02:10 in all" in shown


@pytest.mark.parametrize("limit, in_all", [("1000", "02:10"), ("100", "00:30"), ("60", "00:10")])
def test_later_stages_take_what_is_left_at_most(limit, in_all, capsys, monkeypatch):
    """Planned are 120 seconds, and 10 are left of this stage, which has taken 70."""
    monkeypatch.setattr(progress, "_LOG", 0.0)
    monkeypatch.setenv(progress.SECONDS_AFTER, "120")
    monkeypatch.setenv(progress.SECONDS_IN_ALL, limit)
    with progress.Progress(4) as bar:
        start, now = bar._bar.start_t, [0.0]
        bar._bar._time = lambda: start + now[0]
        for now[0] in (50.0, 60.0, 70.0):
            bar.advance(1)
    assert f"{in_all} in all" in capsys.readouterr().err.split("<")[-1]
