"""Every config that is shipped is read, and each of its bindings is taken by something."""

import os

import forked
import gin
import pytest
from processes import run

import adl_tf.runs.training_run  # noqa: F401
import adl_tf.searches.method  # noqa: F401  Its configurables are what the configs bind.
import adl_tf.studies.study  # noqa: F401
from adl_tf.configuration import parse_gin
from adl_tf.gin_files import CONFIG_DIR, config_names
from adl_tf.studies.members import known_path_members, random_members

SIZES = ("auto_deeplab_s", "auto_deeplab_m", "auto_deeplab_l")
STUDIES = (
    "study.gin",
    "study_noise.gin",
    "study_fidelity.gin",
    "study_synthetic.gin",
)
# What the searches with another method are as long as.
LENGTHS = {
    "random_search.gin": "run_random_search.candidates",
}
CONFIGS = [
    name
    for name in map(os.path.basename, config_names())
    if name not in (*STUDIES, *(f"{size}.gin" for size in SIZES))
    and not os.path.exists(os.path.join(CONFIG_DIR, "base", name))
]


@pytest.mark.parametrize("config", CONFIGS)
def test_config(config):
    try:
        parse_gin([config], ["SEED = 7"])
        assert gin.query_parameter("SEED/gin.macro.value") == 7
        length = "run_training.steps"
        if "search" in config:
            length = LENGTHS.get(config, "run_gradient_search.epochs")
        for binding in ("RunData.dataset_dir", length):
            assert gin.query_parameter(binding) is not None
    finally:
        gin.clear_config()


def test_study():
    try:
        parse_gin(["study.gin"], [])
        assert len(gin.query_parameter("run_study.members")) == 4
        assert len(random_members()) == 40
        assert {member.name for member in known_path_members()} >= {"auto_deeplab", "deeplabv3"}
        parse_gin(["study_noise.gin"], [])
        assert len(random_members()) == 5 and gin.query_parameter("run_study.seeds") == (0, 1, 2)
    finally:
        gin.clear_config()


def test_studies_need_no_more_than_their_program_imports(tmp_path):
    program = (
        "import adl_tf.studies.study, adl_tf.studies.members, gin\n"
        "from adl_tf.configuration import parse_gin\n"
        f"for study in {STUDIES}:\n"
        "    parse_gin([study], [])\n"
        "    assert gin.query_parameter('run_study.members')\n"
        "    gin.clear_config()\n"
    )
    process = run(["-c", program], tmp_path)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("size, filters", zip(SIZES, (20, 32, 48)))
def test_sizes_win_over_the_config_before_them(size, filters):
    try:
        parse_gin(["papers/voc2012.gin", f"papers/{size}.gin"], [])
        assert gin.query_parameter("FILTER_MULTIPLIER/gin.macro.value") == filters
    finally:
        gin.clear_config()


PROGRAM = """
import gin
from adl_tf.system.interrupts import Interrupted
from adl_tf.programs import run_program
@gin.configurable
def program():
    raise {}
run_program(program)
"""


@pytest.mark.parametrize(
    "error, status, line",
    [
        ("ValueError('two\\nlines')", 1, "error: two lines"),
        ("PermissionError(13, 'No', 'runs')", 1, "error: [Errno 13] No: 'runs'"),
        ("Interrupted('It resumes.')", 130, "interrupted. It resumes."),
    ],
)
def test_programs_end_in_one_line(tmp_path, error, status, line):
    (tmp_path / "program.py").write_text(PROGRAM.format(error))
    result = forked.run("program", [], cwd=str(tmp_path))
    assert (result.status, result.stdout) == (status, "")
    assert result.stderr.splitlines()[-1] == line and "configurable" not in result.stderr
