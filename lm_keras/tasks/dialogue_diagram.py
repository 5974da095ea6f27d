"""The picture of a dialogue policy: its states in a row, and how often each step between them was taken.

Steps to a later state are arcs above the row, those back to an earlier one arcs below, so that no arc crosses a
state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from lm_keras.tasks.confusion_plots import short_name
from lm_keras.tasks.dialogue_metrics import PERSON

if TYPE_CHECKING:
    from lm_keras.tasks.dialogue_policy import Policy

INCHES = 2.0  # from state to state
BEND = 0.55  # of arcs: their height is BEND / 2 of their width
LOOP = 0.34  # the height of a step from a state to itself
TAKEN, NOT_TAKEN, OTHER = "#2869be", "#b0b0b0", "#d63c2d"


def policy_figure(policy: Policy, counts: Mapping[tuple[str, str], int] | None = None) -> Figure:
    """Draws a policy; the arguments are those of `Policy.diagram`."""
    edges = dict.fromkeys((one.state, one.to) for one in policy.transitions)
    edges |= dict.fromkeys(counts or {})
    column = {name: x for x, name in enumerate(policy.states)}
    steps = [column[after] - column[before] for before, after in edges if after in column]
    top = max(LOOP, BEND / 2 * max(steps, default=0)) + 0.2
    bottom = -max(0.0, BEND / 2 * -min(steps, default=0)) - 0.2
    places = {name: (x, 0.0) for name, x in column.items()}
    if any(after == PERSON for _, after in edges):
        bottom -= 0.45
        places[PERSON] = ((len(column) - 1) / 2, bottom)
        bottom -= 0.2
    figure = Figure(figsize=(INCHES * (len(column) - 0.1), INCHES * (top - bottom)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.45, len(column) - 0.55), ylim=(bottom, top), aspect="equal")
    axes.axis("off")
    boxes = {name: _box(axes, policy, name, place) for name, place in places.items()}
    most = max((counts or {}).values(), default=1)
    for before, after in edges:
        acts = [one.act or "any act" for one in policy.transitions if (one.state, one.to) == (before, after)]
        count = None if counts is None else counts.get((before, after), 0)
        label = ", ".join(dict.fromkeys(acts)) if count is None else f"{count:,}"
        color = OTHER if not acts else NOT_TAKEN if count == 0 else TAKEN
        wide = 1.2 if not count else 1.0 + 3.0 * count / most
        style = {"arrowstyle": "-|>", "mutation_scale": 14, "linewidth": wide, "color": color, "zorder": 4}
        _arrow(axes, places, boxes, before, after, label, style)
    return figure


def _box(axes, policy, name, place):
    shape = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "black"}
    shape |= {"linewidth": 2.2} if name == policy.start else {}
    shape |= {"facecolor": "#e3ecf8"} if name in policy.final else {}
    shape |= {"facecolor": "#fbe3e0"} if name == PERSON else {}
    text = axes.text(*place, short_name(name, 16), ha="center", va="center", fontsize=10, bbox=shape, zorder=3)
    text.set_parse_math(False)
    return text.get_bbox_patch()


def _arrow(axes, places, boxes, before, after, label, style):
    (x, y), (to_x, to_y) = places[before], places[after]
    steps = to_x - x
    if before == after:
        ends, bend, middle = [(x - 0.12, 0.11), (x + 0.12, 0.11)], 1.9, (x, LOOP + 0.05)
    elif after == PERSON:
        ends, bend, middle = [(x, y), (to_x, to_y)], 0.0, (x + 0.6 * steps, y + 0.6 * (to_y - y))
    else:
        # `arc3` has its control point `bend` times the width off the middle: the curve goes half as far.
        bend = 0.0 if steps == 1 else BEND
        ends, middle = [(x, y), (to_x, to_y)], (x + steps / 2, bend * steps / 2 + (0.07 if steps == 1 else 0.0))
    around = {} if before == after else {"patchA": boxes[before], "patchB": boxes[after]}
    axes.add_patch(
        FancyArrowPatch(*ends, connectionstyle=f"arc3,rad={-bend}", shrinkA=2, shrinkB=2, **around, **style)
    )
    text = axes.text(*middle, label, ha="center", va="center", fontsize=8, color="black", zorder=5)
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85})
    text.set_parse_math(False)
