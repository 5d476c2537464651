"""The description of a cluster in the environment."""

import json

import pytest

from adl_tf.distribution.cluster import find_cluster

HOSTS = ["a:1", "b:1", "[::1]:2"]


def config(cluster, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_workers_of_tf_config(monkeypatch):
    for environment, index in (
        (config({"worker": HOSTS}, index=2), 2),
        (config({"chief": HOSTS[:1], "worker": HOSTS[1:]}, index=1), 2),
        (config({"chief": HOSTS[:1], "worker": HOSTS[1:]}, kind="chief"), 0),
    ):
        cluster = find_cluster(environment)
        assert list(cluster.addresses) == HOSTS
        assert cluster.index == index
    assert cluster.name(2) == "worker 2 ([::1]:2)"


def test_workers_of_slurm(monkeypatch):
    environment = {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_STEP_NODELIST": "n[01-02]",
        "SLURM_STEP_TASKS_PER_NODE": "2,1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cluster = find_cluster(environment)
    assert list(cluster.addresses) == ["n01:8888", "n01:8889", "n02:8888"]
    assert cluster.index == 2


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "needs the cluster in the environment: TF_CONFIG"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG: JSONDecodeError"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG: TypeError"),
        (config({"worker": HOSTS}, index=3), "TF_CONFIG: IndexError"),
        (config({"worker": HOSTS}, kind="ps"), "TF_CONFIG: KeyError 'ps'"),
        (config({"worker": ["a", "b:1"]}), "'a' is no host:port"),
        (config({"worker": ["a:1", "a:1"]}), "two workers of the cluster have one address"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "the job step of SLURM describes no cluster"),
    ],
)
def test_a_wrong_description_is_one_line(environment, message):
    with pytest.raises(ValueError) as error:
        find_cluster(environment)
    assert message in str(error.value) and "\n" not in str(error.value)
