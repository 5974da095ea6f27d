"""Where labels go so that they do not lie on each other."""

import numpy as np

_RADIUS = 4  # pixels around a point that no label covers
_DISTANCES = (5, 12, 22, 36, 54, 76)  # pixels between a point and its label
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 135, 315, 225, 22.5, 157.5, 337.5, 202.5])


def label_places(points, sizes, area):
    """Centres float [N, 2] of labels of `sizes` [N, 2] for `points` [N, 2], all in pixels, inside of `area`.

    `area`: left, bottom, right, top. Each label takes the first place near its point that is free; if none is, the
    one that covers the least. Points in the thick of it come first: they have the fewest places.
    """
    points, sizes = np.asarray(points, float), np.asarray(sizes, float)
    marks = np.concatenate([points - _RADIUS, points + _RADIUS], axis=1)
    boxes, centres = np.empty((0, 4)), np.empty_like(points)
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    near = np.hypot(*(points[:, None] - points).transpose(2, 0, 1))
    for i in np.argsort(np.sort(near, axis=1)[:, :5].sum(axis=1), kind="stable"):
        offsets = [directions * distance + np.sign(directions.round(9)) * sizes[i] / 2 for distance in _DISTANCES]
        places = points[i] + np.concatenate(offsets)
        tried = np.concatenate([places - sizes[i] / 2, places + sizes[i] / 2], axis=1)
        outside = np.maximum(np.concatenate([area[:2] - tried[:, :2], tried[:, 2:] - area[2:]], axis=1), 0)
        covered = _overlap(tried, boxes) + _overlap(tried, marks) + sizes[i].sum() * outside.sum(axis=1)
        best = covered.argmin()  # the first of the smallest
        centres[i], boxes = places[best], np.concatenate([boxes, tried[best : best + 1]])
    return centres


def _overlap(boxes, others):
    """The area that each of `boxes` [M, 4] shares with `others` [N, 4]: [M]."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.maximum(high - low, 0).prod(axis=2).sum(axis=1)
