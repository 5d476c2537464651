"""Studies as tasks of Ray, an extra: members that are lost, that fail, and that are interrupted."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import quick_member

from adl_tf.models.registry import NetworkDescription, write_network_description
from adl_tf.space.genotype import Genotype
from adl_tf.studies import study
from adl_tf.studies.members import Member
from adl_tf.studies.processes import Processes, run_side_by_side
from adl_tf.studies.ray_tasks import RayTasks

GENOTYPE = Genotype((0, 1), [[(0, "sep_conv_3x3"), (1, "skip_connect")]])


@pytest.fixture
def two_workers():
    """Ray with two workers, in place of the one that a study would start."""
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def programs(monkeypatch):
    """Replaces trainings by short programs that do what is told."""
    told = {}

    def run(program, arguments, model_dir, runner):
        os.makedirs(model_dir, exist_ok=True)
        name = os.path.basename(os.path.dirname(model_dir))
        command = [quick_member.__file__, model_dir, told.get(name, "nothing")]
        status, output = runner.run(command, os.path.join(model_dir, "log.txt"))
        if status:
            raise study.MemberFailure(f"{name} ended with status {status}.")
        write_network_description(NetworkDescription("decoded", 3, GENOTYPE, 4), model_dir)
        return {**json.loads(output.splitlines()[-1]), "command": ["python"]}

    monkeypatch.setattr(study, "_run", run)
    return told


def run(directory, executor, **options):
    members = [Member(name, GENOTYPE) for name in "abc"]
    return study.run_study(
        str(directory), ("train.gin",), [lambda: members], (33, 49), executor=executor, **options
    )


def lines(directory):
    with open(directory / "members.jsonl") as file:
        return sorted((json.loads(line) for line in file), key=lambda line: line["training"])


def steps(directory, name):
    return quick_member.read_steps(directory / name / "seed_0")


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_lost_worker_is_replaced_and_its_member_resumes(two_workers, programs, tmp_path, capfd):
    assert run(tmp_path / "plain", "processes")["failed"] == []
    programs["a"] = "kills"
    capfd.readouterr()
    result = run(tmp_path / "ray", "ray")
    assert (result["trainings"], result["failed"]) == (3, [])
    printed = capfd.readouterr()
    # Of what Ray says some lines are shown, none of them beside the result of a program.
    assert printed.out == "" and max(map(len, printed.err.splitlines())) <= 160
    assert lines(tmp_path / "ray") == lines(tmp_path / "plain")
    done = steps(tmp_path / "ray", "a")
    assert [step for step, _ in done] == list(range(quick_member.STEPS))
    first, second = dict.fromkeys(process for _, process in done)
    assert done[3][1] == first and done[4][1] == second
    assert not is_running(first)  # It was asleep for ten minutes.
    assert len({process for _, process in steps(tmp_path / "ray", "b")}) == 1


def test_a_member_that_fails_is_passed_over_and_not_tried_twice(two_workers, programs, tmp_path):
    programs["b"] = "fails"
    assert run(tmp_path, "ray")["failed"] == ["b ended with status 1."]
    assert [step for step, _ in steps(tmp_path, "b")] == [0, 1, 2, 3]
    with open(tmp_path / "b" / "seed_0" / "log.txt") as file:
        assert file.read().count("error: it was told to fail.") == 1
    assert [line["member"] for line in lines(tmp_path)] == ["a", "c"]


def test_an_interruption_asks_the_members_to_end(programs, tmp_path, monkeypatch):
    """With Ray as a study starts it, whose own handlers of signals do not stay."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    programs["a"] = "waits"

    def interrupt():
        while len(steps(tmp_path, "a")) < 4:
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "ray")
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, before)
    log = (tmp_path / "a" / "seed_0" / "log.txt").read_text()
    assert log.count("interrupted.") == 1
    del programs["a"]
    assert run(tmp_path, "processes")["failed"] == []
    assert [step for step, _ in steps(tmp_path, "a")] == list(range(quick_member.STEPS))


@pytest.mark.parametrize("executor", ["ray", "processes"])
def test_an_interruption_between_two_results_does_so_too(executor, programs, tmp_path, monkeypatch):
    if executor == "ray":
        pytest.importorskip("ray")
        monkeypatch.setenv("RAY_ADDRESS", "local")
    programs["a"] = "waits"

    def interrupted(path, line):
        while len(steps(tmp_path, "a")) < 4:
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "append_json_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, executor, workers=2)
    assert (tmp_path / "a" / "seed_0" / "log.txt").read_text().count("interrupted.") == 1


def test_what_a_member_is_told(two_workers, tmp_path, capfd):
    program = "import os; print([os.environ.get(name) for name in %r])"
    names = ["ADL_TF_CORES", "CUDA_VISIBLE_DEVICES"]
    with RayTasks(num_cpus=2).connected() as tasks:
        status, output = tasks.run(["-c", program % names], str(tmp_path / "log.txt"))
    assert (status, output) == (0, "['2', '-1']\n")
    assert capfd.readouterr().err == ""
    with RayTasks(num_cpus=1, num_gpus=0.5).connected():
        pass
    assert "RayTasks.num_gpus = 0.5: no machine has as many" in capfd.readouterr().err
    with RayTasks().connected() as tasks, pytest.raises(study.MemberFailure, match="have to share"):
        tasks.run(["-c", ""], str(tmp_path / "nowhere" / "log.txt"))


def test_what_ray_cannot_do_is_one_line():
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match=r"RayTasks.num_gpus = 1\.5: Ray gives a part"):
        RayTasks(num_gpus=1.5)
    with pytest.raises(ValueError, match="RayTasks.address = '127.0.0.1:9': no Ray answers"):
        RayTasks(address="127.0.0.1:9").connected().__enter__()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_program_is_killed_with_what_started_it(tmp_path):
    """What a worker of Ray does, without Ray."""
    command = [quick_member.__file__, ".", "waits"]
    program = (
        "from adl_tf.studies.ray_tasks import LIFELINE, run_to_its_end\n"
        f"run_to_its_end({command}, 'log.txt', '.', {{LIFELINE: '1'}})"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    while len(quick_member.read_steps(tmp_path)) < 4:
        assert worker.poll() is None
        time.sleep(0.05)
    worker.kill()
    worker.wait()
    ((_, process), *_) = quick_member.read_steps(tmp_path)
    for _ in range(1200):
        if not is_running(process):
            break
        time.sleep(0.05)
    else:
        os.kill(process, signal.SIGKILL)
        raise AssertionError("It runs on.")


def test_a_program_is_asked_to_end_once(tmp_path):
    """However often its study is interrupted: it may be saving. Without Ray."""
    member = """
import signal, sys, time
def save(*_):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    open("asked", "w").close()
    time.sleep(1)
    open("saved", "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, save)
time.sleep(1)  # So that what started this waits for it by then.
open("begun", "w").close()
time.sleep(600)
"""
    program = (
        "from adl_tf.studies.ray_tasks import run_to_its_end\n"
        f"run_to_its_end({['-c', member]}, 'log.txt', '.', {{}})"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        # As in what a script starts in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    for name in ("begun", "asked"):
        while not (tmp_path / name).exists():
            assert worker.poll() is None
            time.sleep(0.05)
        worker.send_signal(signal.SIGINT)
    assert worker.wait() != 0
    assert (tmp_path / "saved").exists()


def test_without_ray_one_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'adl-tf\[ray\]'"):
        run(tmp_path / "study", "ray")
    assert not (tmp_path / "study").exists()


def test_without_a_binding_ray_is_not_imported(programs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(tmp_path, "processes")["failed"] == []


def test_side_by_side_all_tasks_run_where_the_runner_holds_back():
    together = threading.Barrier(3, timeout=60)
    runner = Processes(workers=1)
    runner.workers = None
    assert len(list(run_side_by_side([together.wait] * 3, runner))) == 3
