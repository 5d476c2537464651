"""Checkpoints and signals of a run."""

import signal
import threading

import pytest
import tensorflow as tf

from adl_tf.system.interrupts import Interrupted
from adl_tf.training.checkpointing import (
    TOO_LATE,
    Checkpointing,
    StopWhenNotFinite,
    superfluous,
)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handled():
    """Signals are not ignored, as those of pytest in the background of a shell are."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def make_checkpointing(directory, **tracked):
    checkpointing = Checkpointing(str(directory), steps_per_epoch=5, every_steps=2, **tracked)
    checkpointing.set_params({"steps": 5})
    return checkpointing


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


def test_restores_the_last_checkpoint(tmp_path):
    value = tf.Variable(0.0)
    checkpointing = make_checkpointing(tmp_path, value=value)
    assert not checkpointing.restore()
    checkpointing.on_epoch_end(0)
    for batch in range(3):
        value.assign(batch + 1)
        checkpointing.on_train_batch_end(batch)
    again = make_checkpointing(tmp_path, value=value)
    assert again.restore()
    assert (again.epoch, again.step, float(value)) == (1, 2, 2.0)
    with pytest.raises(ValueError, match="ckpt-7 does not fit this configuration"):
        make_checkpointing(tmp_path, other=tf.Variable(0.0)).restore()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_run_with_a_checkpoint(tmp_path, number):
    before = handlers()
    checkpointing = make_checkpointing(tmp_path)
    with pytest.raises(Interrupted), checkpointing:
        signal.raise_signal(number)
        checkpointing.on_train_batch_end(0)
    assert handlers() == before
    assert make_checkpointing(tmp_path).restore()


def test_a_second_signal_ends_it_at_once(tmp_path):
    before = handlers()
    with pytest.raises(KeyboardInterrupt), make_checkpointing(tmp_path):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert handlers() == before
    assert not list(tmp_path.iterdir())


def test_signals_are_left_alone_outside_the_main_thread(tmp_path):
    before, inside, failures = handlers(), [], []

    def work():
        try:
            with make_checkpointing(tmp_path) as checkpointing:
                inside.extend(handlers())
                checkpointing.on_train_batch_end(1)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures
    assert inside == before == handlers()


def test_nothing_that_is_not_finite_is_saved(tmp_path):
    """What was saved before stays."""
    value = tf.Variable([1.0, 2.0])
    checkpointing = make_checkpointing(tmp_path, values=[value])
    checkpointing.on_epoch_end(4)
    value.assign([1.0, float("nan")])
    checkpointing.on_train_batch_end(0)
    with pytest.raises(ValueError, match="not finite after step 27; nothing of it is saved"):
        checkpointing.on_train_batch_end(1)
    again = make_checkpointing(tmp_path, values=[value])
    assert again.restore() and again.epoch == 5
    assert value.numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "losses", [{"loss": float("inf")}, {"loss": 1.0, "arch_loss": float("nan")}]
)
def test_either_loss_ends_the_run(tmp_path, losses):
    checkpointing = make_checkpointing(tmp_path, rates="the rates")
    checkpointing.on_train_batch_end(0, {"loss": 1.0, "arch_loss": 2.0})
    with pytest.raises(ValueError, match="Lower the rates, .* the same command starts again"):
        checkpointing.on_train_batch_end(1, losses)


def test_a_validation_that_is_not_finite_ends_the_run(tmp_path):
    checkpointing = make_checkpointing(tmp_path)
    stop = StopWhenNotFinite(checkpointing)
    stop.on_epoch_end(0, {"val_loss": 1.0})
    with pytest.raises(ValueError, match="the loss of the validation images is not finite"):
        stop.on_epoch_end(0, {"val_loss": float("nan")})


def numbers(directory):
    return sorted(int(path.stem.split("-")[1]) for path in directory.glob("*.index"))


def test_a_run_that_diverges_goes_back_far_enough(tmp_path):
    """Checkpoints just before are removed, since they may lead there again; older ones stay."""
    value = tf.Variable(0.0)
    checkpointing = Checkpointing(str(tmp_path), 1000, 1, value=value)
    checkpointing.set_params({"steps": 1000})
    for batch in range(50):
        checkpointing.on_train_batch_end(batch, {"loss": 1.0})
    assert len(numbers(tmp_path)) == 3
    with pytest.raises(ValueError, match=r"the same command resumes from step \d+"):
        checkpointing.on_train_batch_end(50, {"loss": float("nan")})
    (kept,) = numbers(tmp_path)
    assert 0 < kept < 50 - TOO_LATE
    again = Checkpointing(str(tmp_path), 1000, 1, value=value)
    assert again.restore() and again.step == kept


def test_a_run_that_diverges_at_once_starts_again_but_a_long_one_keeps_its_last(tmp_path):
    for first, left in ((0, 0), (500, 1)):
        checkpointing = Checkpointing(str(tmp_path / str(first)), 1000, 1)
        (tmp_path / str(first)).mkdir()
        checkpointing.set_params({"steps": 1000})
        checkpointing._counters["step"].assign(first)
        checkpointing.on_train_batch_end(first, {"loss": 1.0})
        with pytest.raises(ValueError):
            checkpointing.on_train_batch_end(first + 1, {"loss": float("nan")})
        assert len(numbers(tmp_path / str(first))) == left


def test_there_is_always_one_to_go_back_to():
    """Whatever the distance between checkpoints, once the run is old enough."""
    for every in (1, 3, 20, 21, 200):
        kept = []
        for number in range(0, 500, every):
            kept = [number, *kept]
            removed = superfluous(kept)
            kept = [other for other in kept if other not in removed]
            assert len(kept) <= 3 and kept[0] == number
            if number > 2 * TOO_LATE + every:
                assert number - kept[-1] > TOO_LATE
                assert number - kept[-1] <= 2 * TOO_LATE + 2 * every


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "data cut": lambda index, data: cut(data),
    "data emptied": lambda index, data: data.write_bytes(b""),
    "data changed": lambda index, data: data.write_bytes(data.read_bytes()[::-1]),
    "data deleted": lambda index, data: data.unlink(),
    "index cut": lambda index, data: cut(index),
    "index emptied": lambda index, data: index.write_bytes(b""),
    "index garbage": lambda index, data: index.write_bytes(b"\xff garbage" * 100),
    "index deleted": lambda index, data: index.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("state", ["whole", "emptied", "garbage", "deleted"])
def test_the_newest_that_can_be_read_is_used(tmp_path, capsys, damage, state):
    value = tf.Variable(0.0)
    checkpointing = make_checkpointing(tmp_path, value=value)
    for batch in range(4):
        value.assign(batch + 1.0)
        checkpointing.on_train_batch_end(batch)
    index, data = (next(tmp_path.glob(f"ckpt-4.{kind}*")) for kind in ("index", "data"))
    DAMAGES[damage](index, data)
    listing = tmp_path / "checkpoint"
    if state == "deleted":
        listing.unlink()
    elif state != "whole":
        listing.write_bytes(b"" if state == "emptied" else b"\xfe\xff: garbage {")
    again = make_checkpointing(tmp_path, value=value)
    assert again.restore()
    assert (again.step, float(value)) == (2, 2.0)
    message = capsys.readouterr().err
    assert "ckpt-4 is damaged" in message and "ckpt-2 is used instead" in message
    again.on_train_batch_end(2)
    again.on_train_batch_end(3)
    assert make_checkpointing(tmp_path, value=value).restore()


def test_it_never_starts_over_beside_checkpoints(tmp_path):
    checkpointing = make_checkpointing(tmp_path, value=tf.Variable(0.0))
    checkpointing.on_epoch_end(0)
    for path in tmp_path.glob("*.index"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="ckpt-5 is damaged .* none is left"):
        make_checkpointing(tmp_path, value=tf.Variable(0.0)).restore()


def test_metrics_of_an_interrupted_epoch_are_those_of_all_its_steps(tmp_path):
    def step(checkpointing, metric, batch):
        metric.update_state(float(batch))
        checkpointing.on_train_batch_end(batch)

    metric = tf.keras.metrics.Mean()
    checkpointing = make_checkpointing(tmp_path, metrics=[metric])
    for batch in range(2):
        step(checkpointing, metric, batch)
    other = tf.keras.metrics.Mean()
    again = make_checkpointing(tmp_path, metrics=[other])
    assert again.restore()
    other.reset_state()  # As `fit` does.
    again.on_epoch_begin(0)
    for batch in range(2, 4):
        step(again, other, batch)
    assert float(other.result()) == pytest.approx(1.5)
    again.on_epoch_end(0)
    other.reset_state()
    again.on_epoch_begin(1)
    assert float(other.result()) == 0


def test_a_best_score_of_an_earlier_version_goes_on_in_double_precision(tmp_path):
    score = 0.9606123
    make_checkpointing(tmp_path, value=tf.Variable(2.0), best=tf.Variable(score)).save()
    value, best = tf.Variable(0.0), tf.Variable(-1.0, dtype=tf.float64)
    again = make_checkpointing(tmp_path, value=value, best=best)
    assert again.restore() and float(value) == 2.0
    assert float(best) == pytest.approx(score, abs=1e-7)
    best.assign(1 / 3)
    again.on_epoch_end(0)
    other = tf.Variable(-1.0, dtype=tf.float64)
    assert make_checkpointing(tmp_path, value=value, best=other).restore()
    assert float(other) == 1 / 3
