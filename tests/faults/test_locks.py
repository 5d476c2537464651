"""Two processes at once in one directory: the second ends in one line, and a kill frees it."""

import commands
import forked
import pytest
from processes import start
from test_interrupts import wait_for


@pytest.mark.parametrize(
    "program, endless",
    [
        ("train", "STEPS = 1000000"),
        pytest.param("search", "EPOCHS = 1000000", marks=pytest.mark.whole),
    ],
)
def test_a_second_run_is_refused(program, endless, streets, tmp_path, count):
    model_dir = tmp_path / "run"
    arguments = getattr(commands, program)(streets, str(model_dir), endless)
    first = start(["-m", f"adl_tf.{program}", *arguments], tmp_path)
    try:
        wait_for(lambda: (model_dir / "checkpoint").exists(), first)
        second = forked.run(f"adl_tf.{program}", arguments)
        assert f"{model_dir}: another process writes there" in second.error
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    # Of another schedule: refused for that, and no longer because of the lock.
    arguments = getattr(commands, program)(streets, str(model_dir), "RunData.seed = 7")
    assert "different schedule.json" in forked.run(f"adl_tf.{program}", arguments).error
    count("locks", 1)
