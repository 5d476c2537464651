"""Checkpoints and signals of a run."""

import signal
import threading

import pytest
import tensorflow as tf

from adl_tf.configuration import Interrupted
from adl_tf.training.checkpointing import Checkpointing

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
