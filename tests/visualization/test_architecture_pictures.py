import concurrent.futures
import itertools
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from matplotlib.text import Text
from PIL import Image

from adl_tf.space import decoding
from adl_tf.space.genotype import PRESETS, Genotype
from adl_tf.space.ops import OPS, get_op
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import CELL_INPUTS, MOVE_OFFSETS, SearchSpace
from adl_tf.visualization.alpha_map import chosen_entries, draw_alpha
from adl_tf.visualization.architecture import PATH, draw_architecture
from adl_tf.visualization.beta_map import draw_beta
from adl_tf.visualization.cell_graph import cell_arcs, edge_names, state_center
from adl_tf.visualization.figure import figure_to_image, save_figure
from adl_tf.visualization.history import draw_alpha_history, draw_beta_history
from adl_tf.visualization.trellis import end_arrows, trellis_arrows

pytestmark = pytest.mark.filterwarnings("error")

SPACES = [
    SearchSpace(),
    SearchSpace(num_layers=1, num_blocks=1),
    SearchSpace(num_layers=2, num_blocks=2, num_levels=1),
    SearchSpace(num_layers=3, num_blocks=1, num_levels=2, ops=("skip_connect",)),
    SearchSpace(num_layers=5, num_blocks=9, num_levels=6),
    SearchSpace(num_layers=20, num_blocks=3),
]


def random_relaxed(space, seed=0):
    generator = np.random.default_rng(seed)
    return RelaxedArchitecture(
        space, generator.normal(size=space.alpha_shape), generator.normal(size=space.beta_shape)
    )


def random_genotype(space, seed=0):
    """Any legal genotype, also such as decoding never returns."""
    generator = np.random.default_rng(seed)
    path = [0]
    while len(path) < space.num_layers:
        near = [level for level in range(space.num_levels) if abs(level - path[-1]) <= 1]
        path.append(generator.choice(near))
    cell = [
        [(generator.integers(block + CELL_INPUTS), generator.choice(space.ops)) for _ in range(2)]
        for block in range(space.num_blocks)
    ]
    return Genotype(path, cell)


def label_boxes(figure):
    """Pixel boxes of all texts, their frames included, as they come out."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    return {
        text: (text.get_bbox_patch() or text).get_window_extent(canvas.get_renderer())
        for text in texts
    }


def test_arrows_are_all_legal_moves_of_reachable_nodes():
    space = SearchSpace(num_layers=6)
    arrows = {(a.layer, a.source, a.target) for a in trellis_arrows(space)}
    assert arrows == {
        (layer - 1, source, level)
        for layer in range(1, space.num_layers)
        for level in space.levels(layer)
        for source, _ in space.predecessors(layer, level)
    }
    assert len(trellis_arrows(space)) == len(arrows)


@pytest.mark.parametrize("space", SPACES)
def test_marked_path_is_the_decoded_one(space):
    relaxed = random_relaxed(space)
    genotype, probability = decoding.decode(relaxed)
    arrows = trellis_arrows(space, genotype.path, relaxed.move_probabilities)
    marked = [arrow for arrow in arrows if arrow.on_path]
    assert [(a.layer, a.source, a.target) for a in marked] == [
        (layer, *genotype.path[layer : layer + 2]) for layer in range(space.num_layers - 1)
    ]
    assert np.prod([arrow.probability for arrow in marked]) == pytest.approx(probability)


def test_each_reachable_node_has_one_strongest_move():
    space = SearchSpace()
    probabilities = random_relaxed(space).move_probabilities
    strongest = [a for a in trellis_arrows(space, (), probabilities) if a.strongest]
    assert [(a.layer, a.source) for a in strongest] == [
        (layer, level) for layer in range(space.num_layers - 1) for level in space.levels(layer)
    ]
    for arrow in strongest:
        moves = probabilities[arrow.layer, arrow.source]
        assert moves[MOVE_OFFSETS.index(arrow.target - arrow.source)] == moves.max()


def test_without_beta_nothing_is_strongest():
    assert not any(a.strongest or a.probability for a in trellis_arrows(SearchSpace(), [0] * 12))


def test_end_arrows_lead_from_the_stem_and_to_every_head():
    assert end_arrows(SearchSpace(num_layers=3)) == [
        ((-1, 0), (0, 0)),
        ((2, 0), (3, 0)),
        ((2, 1), (3, 1)),
        ((2, 2), (3, 2)),
    ]


def test_blue_nodes_are_the_genotypes_path():
    genotype = PRESETS["auto_deeplab"]
    figure = draw_architecture(genotype)
    nodes = [p for axes in figure.axes for p in axes.patches if isinstance(p, Circle)]
    blue = sorted(node.center for node in nodes if node.get_facecolor()[:3] == hex_rgb(PATH))
    columns = sorted({node.center[0] for node in nodes})
    rows = sorted({node.center[1] for node in nodes}, reverse=True)
    assert [columns.index(x) for x, _ in blue] == list(range(12))
    assert tuple(rows.index(y) for _, y in blue) == genotype.path


def hex_rgb(color):
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))


def test_cell_labels_are_the_genotypes_ops():
    genotype = PRESETS["auto_deeplab"]
    texts = [text.get_text() for text in draw_architecture(genotype).findobj(Text)]
    for op in OPS:
        expected = sum(branch[1] == op for block in genotype.cell for branch in block)
        assert texts.count(get_op(op).label) == expected


@pytest.mark.parametrize("seed", range(5))
def test_arcs_join_the_right_boxes_at_places_of_their_own(seed):
    cell = random_genotype(SearchSpace(num_blocks=7), seed).cell
    arcs = cell_arcs(cell)
    branches = [(block, *branch) for block, pair in enumerate(cell) for branch in pair]
    assert [(arc.block, arc.source, arc.op) for arc in arcs] == branches
    for arc in arcs:
        assert 0 < arc.start - state_center(arc.source) < 0.5
        assert 0 < state_center(arc.block + CELL_INPUTS) - arc.end < 0.5
    assert len({arc.start for arc in arcs} | {arc.end for arc in arcs}) == 2 * len(arcs)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("layers, blocks", [(5, 2), (6, 5), (6, 8)])
def test_no_two_texts_overlap(seed, layers, blocks):
    space = SearchSpace(num_layers=layers, num_blocks=blocks)
    relaxed = random_relaxed(space, seed)
    boxes = label_boxes(draw_architecture(random_genotype(space, seed), relaxed))
    for (one, box), (other, other_box) in itertools.combinations(boxes.items(), 2):
        assert not box.overlaps(other_box), (one, other)


def test_texts_stay_inside_the_picture():
    space = SearchSpace(num_layers=4, num_blocks=3)
    relaxed = random_relaxed(space)
    for figure in (
        draw_architecture(random_genotype(space), relaxed),
        draw_alpha(relaxed),
        draw_beta(relaxed),
        draw_alpha_history([(0, relaxed), (5, relaxed)]),
        draw_beta_history([(3, relaxed)]),
    ):
        for text, box in label_boxes(figure).items():
            inside = figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
            inside &= figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
            assert inside, text


@pytest.mark.parametrize("space", SPACES)
def test_every_space_draws(space, tmp_path):
    relaxed = random_relaxed(space)
    genotype = random_genotype(space)
    figures = [
        draw_architecture(genotype),
        draw_architecture(genotype, relaxed),
        draw_alpha(relaxed),
        draw_beta(relaxed),
        draw_alpha_history([(0, relaxed)]),
        draw_beta_history([(20, relaxed), (21, relaxed), (30, relaxed)]),
    ]
    for figure in figures:
        path = tmp_path / "picture.png"
        save_figure(figure, path)
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) >= 100 and max(picture.size) <= 4000
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]


def test_image_is_what_is_saved(tmp_path):
    figure = draw_architecture(PRESETS["auto_deeplab"])
    image = figure_to_image(figure)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3
    save_figure(figure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), image)


def test_framed_entries_are_the_decoded_cell():
    space = SearchSpace(num_blocks=3)
    alpha = random_relaxed(space).alpha
    alpha[0] = 50 * np.eye(len(OPS))[4]
    relaxed = RelaxedArchitecture(space, alpha)
    entries = chosen_entries(relaxed)
    cell = decoding.strongest_cell(relaxed)
    assert [(space.edges[row], space.ops[column]) for row, column in entries] == [
        ((source, block), op) for block, pair in enumerate(cell) for source, op in pair
    ]
    frames = draw_alpha(relaxed).axes[0].patches
    centers = [(f.get_y() + f.get_height() / 2, f.get_x() + f.get_width() / 2) for f in frames]
    assert all(isinstance(frame, Rectangle) for frame in frames)
    np.testing.assert_allclose(centers, entries, atol=1e-9)


def test_edge_names_follow_the_rows_of_alpha():
    assert edge_names(SearchSpace(num_blocks=2)) == [
        "H(l-1) → block 0",
        "H(l-2) → block 0",
        "H(l-1) → block 1",
        "H(l-2) → block 1",
        "block 0 → block 1",
    ]


def test_history_panels_hold_their_values():
    space = SearchSpace(num_layers=3, num_blocks=1)
    relaxed = random_relaxed(space)
    other = RelaxedArchitecture(space, relaxed.alpha[::-1])
    ops, moves = relaxed.op_probabilities, relaxed.move_probabilities
    first, second = draw_alpha_history([(2, relaxed), (4, other)]).axes[:2]
    np.testing.assert_allclose(first.collections[0].get_array(), ops.T)
    np.testing.assert_allclose(second.collections[0].get_array(), ops[::-1].T)
    assert first.get_xlim() == (1, 5)

    panels = draw_beta_history([(2, relaxed)]).axes[:-1]
    titles = ["layer 1, stride 4", "layer 2, stride 4", "layer 2, stride 8"]
    assert [axes.get_title() for axes in panels] == titles
    drawn = panels[0].collections[0].get_array()
    assert drawn.mask[:, 0].tolist() == [True, False, False]
    np.testing.assert_allclose(drawn[1:, 0], moves[0, 0, 1:])


def test_histories_show_small_differences():
    """On a scale from 0 to 1, an undecided search would be one color."""
    space = SearchSpace(num_layers=3, num_blocks=1)
    uniform = np.full(space.alpha_shape, 1 / 8)
    uniform[0, 0], uniform[0, 1] = 0.117, 0.133
    relaxed = RelaxedArchitecture(space, np.log(uniform))
    panel, *_, bar = draw_alpha_history([(1, relaxed)]).axes
    assert bar.get_ylim() == pytest.approx((0.117, 0.133))
    colors = panel.collections[0].to_rgba(uniform[0])
    assert np.abs(colors[0] - colors[1]).max() > 0.5
    # All alike: still a picture.
    draw_alpha_history([(1, RelaxedArchitecture(space))])


def dashed(figure):
    return sum(
        isinstance(patch, FancyArrowPatch) and patch.get_linestyle() not in ("-", "solid")
        for patch in figure.findobj(FancyArrowPatch)
    )


def test_what_is_hardly_decided_is_dashed():
    space = SearchSpace(num_layers=4, num_blocks=2)
    genotype = random_genotype(space)
    decided = 9 * np.eye(5, 8)
    cases = (None, RelaxedArchitecture(space), RelaxedArchitecture(space, decided))
    legends = []
    for case, relaxed in enumerate(cases):
        figure = draw_architecture(genotype, relaxed)
        assert dashed(figure) == [0, 3 + 4, 3][case]  # Moves of the path, and edges of the cell.
        legends.append([text.get_text() for text in figure.legends[0].get_texts()])
    assert ["hardly decided" in legend for legend in legends] == [False, True, True]
    beta = np.zeros(space.beta_shape)
    beta[..., 1] = 9
    assert dashed(draw_architecture(genotype, RelaxedArchitecture(space, decided, beta))) == 0


def test_faults_are_named():
    space = SearchSpace(num_layers=3, num_blocks=2)
    genotype, relaxed = random_genotype(space), RelaxedArchitecture(space)
    with pytest.raises(ValueError, match="path has 3 layers, the space has 12"):
        draw_architecture(genotype, RelaxedArchitecture(SearchSpace()))
    with pytest.raises(ValueError, match="genotype has 2 blocks, the space has 5"):
        draw_architecture(genotype, RelaxedArchitecture(SearchSpace(num_layers=3)))
    with pytest.raises(ValueError, match="at least one"):
        draw_alpha_history([])
    with pytest.raises(ValueError, match="increasing"):
        draw_beta_history([(1, relaxed), (1, relaxed)])


def test_draws_in_threads():
    genotypes = [random_genotype(SearchSpace(num_layers=4), seed) for seed in range(4)]

    def draw(genotype):
        return figure_to_image(draw_architecture(genotype))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(draw, genotypes))
    for image, genotype in zip(drawn, genotypes):
        np.testing.assert_array_equal(image, draw(genotype))


def test_needs_neither_pyplot_nor_tensorflow():
    program = (
        "import sys, adl_tf.visualization.architecture, adl_tf.visualization.predictions\n"
        "sys.exit('matplotlib.pyplot' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
