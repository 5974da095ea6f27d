import math

import numpy as np
import pytest
from themes import THEMES, planted

import lm_keras as lk
from lm_keras.errors import InputError


def test_u_mass_against_its_formula():
    """Mimno et al. 2011: log (texts with both + ε) / texts with the word before it, mean over the pairs."""
    texts = [["a", "b", "c"], ["a", "b"], ["a", "d"], ["c", "d"]]
    pairs = [("b", "a", 2, 3), ("c", "a", 1, 3), ("c", "b", 1, 2)]
    expected = np.mean([math.log(both / one) for _, _, both, one in pairs])
    found = lk.analysis.topic_coherence([["a", "b", "c"]], texts, "u_mass")
    assert found.topics == pytest.approx([expected], abs=1e-6) and found.mean == found.topics[0]


@pytest.mark.parametrize("measure", ["c_v", "u_mass", "c_npmi", "c_uci"])
def test_themes_are_coherent_and_mixtures_are_not(measure):
    texts, _ = planted()
    mixed = [list(words) for words in zip(*THEMES, strict=True)]
    themes = lk.analysis.topic_coherence(THEMES, texts, measure)
    assert len(themes.topics) == 3 and themes.mean == pytest.approx(np.mean(themes.topics))
    assert min(themes.topics) > max(lk.analysis.topic_coherence(mixed, texts, measure).topics)


def test_words_that_cannot_count_for_coherence():
    texts = planted()[0]
    expected = lk.analysis.topic_coherence([["oven", "flour"]], texts)
    assert lk.analysis.topic_coherence([["oven", "flour", "oven", "unheard"]], texts) == expected
    with pytest.raises(InputError, match="fewer than two words"):
        lk.analysis.topic_coherence([["oven", "oven"]], texts)
    with pytest.raises(InputError, match="lists of words"):
        lk.analysis.topic_coherence(["oven flour"], texts)


def test_coherence_curve():
    curve = lk.analysis.coherence_curve(planted()[0], (2, 3), num_words=6, min_count=1, passes=10, batch_size=20)
    assert list(curve) == [2, 3] and curve[3] > curve[2]
    axes = lk.analysis.plot_coherence(curve).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [list(point) for point in curve.items()]
    assert axes.get_legend().get_texts()[0].get_text() == f"3 topics: {curve[3]:.3f}"


def test_a_curve_of_nothing_cannot_be_drawn():
    with pytest.raises(InputError, match="curve is empty"):
        lk.analysis.plot_coherence({})
