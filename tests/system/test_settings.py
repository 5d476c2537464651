"""Settings are compared with the types and ranges that the signatures state."""

from typing import Callable, Dict, Optional, Sequence, Union

import gin
import pytest

import adl_tf.runs.training_run  # noqa: F401  What the gin files bind.
import adl_tf.searches.method  # noqa: F401
from adl_tf.configuration import parse_gin
from adl_tf.gin_files import NO_IMPORTS
from adl_tf.models.registry import find_builder
from adl_tf.system.settings import (
    Count,
    Name,
    NotNegative,
    Number,
    PartialShare,
    Positive,
    Share,
    Sides,
    SomeShare,
    checked,
)


@checked
def settings(
    count: Count = 1,
    number: Number = 0,
    positive: Positive = 1.0,
    not_negative: NotNegative = 0.0,
    share: Share = 0.5,
    some: SomeShare = 0.5,
    partial: PartialShare = 0.5,
    name: Name = "a",
    sides: Sides = (1, 1),
    flag: bool = False,
    optional: Optional[Count] = None,
    names: Sequence[Name] = (),
    by_name: Dict[Name, Count] = {},  # noqa: B006
    function: Union[Name, Callable[..., int]] = "a",
    anything=None,
    **others,
):
    return count


GOOD = {
    "count": [1, 10**9],
    "number": [0],
    "positive": [1, 1e-9],
    "not_negative": [0, 0.0, 3],
    "share": [0, 1, 0.3],
    "some": [1, 1e-9],
    "partial": [0, 0.99],
    "name": ["x"],
    "sides": [(3, 4), [3, 4]],
    "flag": [True],
    "optional": [None, 1],
    "names": [("a", "b"), ["a"], []],
    "by_name": [{"a": 1}],
    "function": ["x", len],
    "anything": [object()],
    "more": ["whatever"],
}
BAD = {
    "count": ["x", 0, -1, 1.0, True, None, (1,)],
    "number": [-1, "0", 0.5],
    "positive": ["x", 0, -1.0, float("nan"), float("inf"), None],
    "not_negative": [-1e-9, float("nan"), "0"],
    "share": [1.1, -0.1, float("nan"), "x"],
    "some": [0, 1.1],
    "partial": [1, 2.0, -0.1],
    "name": ["", 5, None],
    "sides": [3, (3,), (3, 4, 5), (3, "4"), (0, 4), "34"],
    "flag": [1, "True", None],
    "optional": ["x", 0],
    "names": ["abc", 5, ("a", 5), ("",)],
    "by_name": [{"a": 0}, {"": 1}, 5],
    "function": [5, ""],
}


@pytest.mark.parametrize("name, value", [(n, v) for n, values in GOOD.items() for v in values])
def test_good_values_pass(name, value):
    settings(**{name: value})


@pytest.mark.parametrize("name, value", [(n, v) for n, values in BAD.items() for v in values])
def test_bad_values_are_named_in_one_line(name, value):
    with pytest.raises(ValueError) as error:
        settings(**{name: value})
    assert str(error.value).startswith(f"settings.{name} = {value!r}: ")
    assert "\n" not in str(error.value)


def test_positional_arguments_are_checked_and_missing_ones_left_to_gin():
    with pytest.raises(ValueError, match="settings.count = 'x'"):
        settings("x")
    assert settings(gin.REQUIRED) is gin.REQUIRED
    with pytest.raises(TypeError, match="multiple values"):
        settings(1, count=2)


def test_misspelt_macros_are_refused(tmp_path):
    with pytest.raises(ValueError, match="EPOCHES is set but not used .* did you mean EPOCHS"):
        parse_gin(["camvid_search.gin"], ["EPOCHES = 1"])
    with pytest.raises(ValueError, match="EPOCHES is set but not used"):
        parse_gin(["camvid_search.gin"], ["  EPOCHES = 1"])  # Which gin accepts.
    own = tmp_path / "own.gin"
    own.write_text("include 'camvid_search.gin'\nCROPSIZE = 65\n")
    with pytest.raises(ValueError, match="CROPSIZE is set .* did you mean CROP_SIZE"):
        parse_gin([str(own)], [])
    own.write_text("include 'camvid_search.gin'\nMINE = 65\nCROP_SIZE = %MINE\n")
    parse_gin([str(own)], ["SearchSpace.num_layers = 3"])  # Its macro is not needed any more.


def test_the_label_that_records_ignore_cannot_be_bound():
    for model in ("AlternatingModel", "TrainingModel"):
        with pytest.raises(ValueError, match="ignore_label"):
            parse_gin(["camvid_search.gin"], [f"{model}.ignore_label = 0"])


def test_imports_of_gin_files_can_be_refused(tmp_path, monkeypatch):
    """Of included files too, and before anything is run."""
    monkeypatch.setenv(NO_IMPORTS, "1")  # So that it is unset afterwards.
    inner, outer, mark = (tmp_path / name for name in ("inner.gin", "outer.gin", "ran"))
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    for line in ("import evil", "  import evil", "from evil import x"):
        inner.write_text(line + "\n")
        outer.write_text(f"include '{inner}'\n")
        for files, params in (([str(outer)], []), ([], [line])):
            with pytest.raises(ValueError, match="is not allowed with --nogin_imports"):
                parse_gin(files, params, imports=False)
    assert not mark.exists()
    sneaky = ("include  '{}'", "\tinclude '{}' # it's", 'include \\\n"{}"')
    sneaky += ("include'{}'", "include r'{}'", "include u'{}'", "include '' r'{}'")
    inner.write_text("import evil\n")
    for form in sneaky:
        outer.write_text(form.format(inner) + "\n")
        with pytest.raises(ValueError, match="is not allowed with --nogin_imports"):
            parse_gin([str(outer)], [], imports=False)
    with pytest.raises(ValueError, match="evil.gin: no such file"):
        parse_gin(["package.of/evil.gin"], [], imports=False)
    with pytest.raises(ValueError, match="'evil:x' is not allowed"):
        find_builder("evil:x")
    parse_gin(["camvid_search.gin"], [], imports=False)
