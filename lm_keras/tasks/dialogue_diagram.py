"""The picture of a dialogue policy: its states from left to right, and how often each step was taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from lm_keras.tasks.confusion_plots import short_name
from lm_keras.tasks.dialogue_metrics import PERSON

if TYPE_CHECKING:
    from lm_keras.tasks.dialogue_policy import Policy

WIDTH, HEIGHT = 2.6, 1.5  # inches between states
TAKEN, NOT_TAKEN, OTHER = "#2869be", "#b0b0b0", "#d63c2d"


def policy_figure(policy: Policy, counts: Mapping[tuple[str, str], int] | None = None) -> Figure:
    """Draws a policy; the arguments are those of `Policy.diagram`."""
    places = _places(policy, counts)
    across = max(x for x, _ in places.values()) + 1
    down = max(abs(y) for _, y in places.values()) * 2 + 1
    figure = Figure(figsize=(WIDTH * across + 0.4, HEIGHT * down + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.6, across - 0.4), ylim=(down / 2 + 0.35, -down / 2 - 0.35))
    axes.axis("off")
    edges = dict.fromkeys((one.state, one.to) for one in policy.transitions)
    edges |= dict.fromkeys(counts or {})
    most = max((counts or {}).values(), default=1)
    for before, after in edges:
        count = None if counts is None else counts.get((before, after), 0)
        _arrow(axes, policy, places, before, after, count, most)
    for name, (x, y) in places.items():
        shape = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "black"}
        shape |= {"linewidth": 2.2} if name == policy.start else {}
        shape |= {"facecolor": "#e3ecf8"} if name in policy.final else {}
        shape |= {"facecolor": "#fbe3e0"} if name == PERSON else {}
        text = axes.text(x, y, short_name(name, 18), ha="center", va="center", fontsize=10, bbox=shape, zorder=3)
        text.set_parse_math(False)
    return figure


def _places(policy, counts):
    """The place of each state: how many steps it is from the start, and its place among those of as many."""
    depth, new = {policy.start: 0}, [policy.start]
    while new:
        ahead = [one.to for state in new for one in policy.transitions if one.state == state and one.to not in depth]
        new = list(dict.fromkeys(ahead))
        depth |= dict.fromkeys(new, max(depth.values()) + 1)
    columns = {}
    for name in policy.states:
        columns.setdefault(depth[name], []).append(name)
    places = {name: (x, i - (len(column) - 1) / 2) for x, column in columns.items() for i, name in enumerate(column)}
    if any(after == PERSON for _, after in counts or {}):
        # Below all, in the middle, so that few arrows cross a state.
        places[PERSON] = (max(columns) / 2, max(y for _, y in places.values()) + 1)
    return places


def _arrow(axes, policy, places, before, after, count, most):
    acts = [one.act or "any act" for one in policy.transitions if (one.state, one.to) == (before, after)]
    label = ", ".join(dict.fromkeys(acts)) if count is None else f"{count:,}"
    color = OTHER if after == PERSON or not acts else NOT_TAKEN if count == 0 else TAKEN
    wide = 1.2 if not count else 1.0 + 3.0 * count / most
    style = {"arrowstyle": "-|>", "mutation_scale": 14, "linewidth": wide, "color": color, "zorder": 1}
    (x, y), (to_x, to_y) = places[before], places[after]
    if before == after:
        ends, rad = [(x - 0.13, y - 0.16), (x + 0.13, y - 0.16)], -1.6
        middle = x, y - 0.42
    else:
        steps = to_x - x
        straight = steps > 0 and (abs(steps) < 1.5 or to_y != y)
        rad = 0.0 if straight else 0.32
        rad = 0.2 if steps == 0 else rad
        ends = [(x, y), (to_x, to_y)]
        # The middle of the quadratic curve of `arc3`, whose control point is rad times the way off, in this picture.
        middle = (x + to_x) / 2 + rad * (to_y - y) / 2, (y + to_y) / 2 - rad * steps / 2
        if straight:  # not in the middle, where arrows cross
            middle = x + 0.42 * steps, y + 0.42 * (to_y - y)
    curve = f"arc3,rad={rad}"
    shrink = {"shrinkA": 2, "shrinkB": 2} if before == after else {"shrinkA": 28, "shrinkB": 28}
    axes.add_patch(FancyArrowPatch(*ends, connectionstyle=curve, **shrink, **style))
    text = axes.text(*middle, label, ha="center", va="center", fontsize=8, color="black", zorder=2)
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85})
    text.set_parse_math(False)
