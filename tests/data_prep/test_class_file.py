"""Class files of people and tools: understood, or refused in one line."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adl_tf.data.description import default_colors
from data_prep.class_file import read_class_file
from data_prep.errors import ConversionError

BG, TREE = (0, 0, 0), (0, 128, 0)
BOTH = {0: BG, 1: TREE}


def read(tmp_path, text):
    (tmp_path / "classes.txt").write_text(text)
    return read_class_file(str(tmp_path / "classes.txt"))


@pytest.mark.parametrize(
    "text, names, colors",
    [
        ("bg\ntree\n", "bg tree", {}),
        ("\n bg \n\ntree", "bg tree", {}),
        ("bg 0 0 0\ntree 0 128 0\n", "bg tree", BOTH),
        ("bg\ntree 0 128 0\n", "bg tree", {1: TREE}),
        ("bg\t0\t0\t0\ntree\t0\t128\t0\n", "bg tree", BOTH),
        ("bg,0,0,0\ntree,0,128,0\n", "bg tree", BOTH),
        ('"bg", 0, 0, 0\n"tree", 0, 128, 0\n', "bg tree", BOTH),
        ("bg;0;0;0\ntree;0;128;0\n", "bg tree", BOTH),
        ("bg (0, 0, 0)\ntree [0,128,0]\n", "bg tree", BOTH),
        ("name,r,g,b\nbg,0,0,0\ntree,0,128,0\n", "bg tree", BOTH),
        ("# label:color_rgb:parts:actions\nbg:0,0,0::\ntree:0,128,0:a,b:c\n", "bg tree", BOTH),
        ("bg:::\ntree:0,128,0::\n", "bg tree", {1: TREE}),
        ("bg #000000\ntree,#008000\n", "bg tree", BOTH),
        ("#000000 bg\n#008000 tree\n", "bg tree", BOTH),
        ("0 0 0 bg\n0 128 0\ttree\n", "bg tree", BOTH),
        ("# name\nbg\n# more\ntree\n", "bg tree", {}),
        ("Pixel Value, Class\n0, bg\n1, tree\n", "bg tree", {}),
        ("0: bg\n1: tree\n", "bg tree", {}),
        ("1 tree 0 128 0\n0 bg 0 0 0\n255 border\n", "bg tree", BOTH),
        ("__ignore__\n_background_\ntree\n", "_background_ tree", {}),
        ("class1 0 0 0\nclass2 0 128 0\n", "class1 class2", BOTH),
    ],
)  # fmt: skip
def test_forms_of_tools(tmp_path, text, names, colors):
    found = read(tmp_path, text)
    assert found.names == tuple(names.split()) and found.colors == colors
    default = default_colors(2)
    assert found.all_colors == tuple(colors.get(label, default[label]) for label in range(2))


@pytest.mark.parametrize(
    "name", ["traffic light", "lane 2", "3 wheeler", "type-2", "a, b", "x (y)"]
)
def test_names_of_several_words_and_numbers(tmp_path, name):
    assert read(tmp_path, f"bg\n{name}\n").names == ("bg", name)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "0 classes; give 1 to 255"),
        ("# nothing\n", "0 classes"),
        ("\n".join(f"c{i}" for i in range(256)), "256 classes"),
        ("bg\ntree\ntree\n", "the class 'tree' is there twice"),
        ("bg 1 2 300\n", "a color has three values in 0..255"),
        ("bg\ntree 0 128\n", "'tree 0 128' is no class; write `road`"),
        ("tree 0 128 0 255\n", "is no class"),
        ("tree,0,128,0,255\n", "is no class"),
        ("tree 0.0 0.5 0.0\n", "is no class"),
        ("tree,1\n", "is no class"),
        ("1 bg\n2 tree\n", "the numbers of the classes are not 0..1"),
        ("0 bg\n2 tree\n", "the numbers of the classes are not 0..1"),
        ("0 bg\n0 tree\n", "the numbers of the classes are not 0..1"),
    ],
)
def test_what_is_no_class_file_is_one_line(tmp_path, text, message):
    with pytest.raises(ConversionError, match=message) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


FORMS = {
    "spaces": "{name} {r} {g} {b}",
    "commas": "{name},{r},{g},{b}",
    "tabs": "{name}\t{r}\t{g}\t{b}",
    "cvat": "{name}:{r},{g},{b}::",
    "hex": "{name} #{r:02x}{g:02X}{b:02x}",
    "numbered": "{i} {name} {r} {g} {b}",
    "csv": "{i},{name},{r},{g},{b}",
    "first": "{r} {g} {b} {name}",
}
WORDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,6}( [A-Za-z_][A-Za-z0-9]{0,5})?", fullmatch=True)


@settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(sorted(FORMS)),
    st.lists(WORDS, min_size=1, max_size=6, unique=True),
    st.data(),
)
def test_any_names_and_colors_in_any_form(tmp_path, form, names, data):
    colors = data.draw(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=6, max_size=6))
    lines = [
        FORMS[form].format(i=i, name=name, r=r, g=g, b=b)
        for i, (name, (r, g, b)) in enumerate(zip(names, colors))
    ]
    found = read(tmp_path, "\n".join(lines))
    assert found.names == tuple(names)
    assert found.all_colors == tuple(colors[: len(names)])
