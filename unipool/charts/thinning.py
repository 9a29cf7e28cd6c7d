"""Draw a curve with few points."""

import heapq

import numpy as np
from jaxtyping import Float, Int


def thinned(
    x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"], *, count: int
) -> Int[np.ndarray, " M"]:
    """Choose at most so many points of a curve, that keep its shape.

    Of all points, the one farthest from the line through its kept neighbours is kept
    next, so corners come first and straight pieces need their ends alone.

    Source: Douglas and Peucker, "Algorithms for the reduction of the number of points
    required to represent a digitized line", 1973, with the number of points given in
    place of the tolerance.

    Args:
        x: finite, in units that compare with those of ``y``.
        y: finite.
        count: of points, 2 or more.

    Returns:
        Places of the points, rising, the first and the last of the curve included.
    """
    last = len(x) - 1
    kept = {0, last}
    waiting: list[tuple[float, int, int, int]] = []

    def wait(start: int, end: int) -> None:
        if end - start < 2:
            return
        distance = _distance(x[start : end + 1], y[start : end + 1])
        farthest = int(np.argmax(distance))
        if distance[farthest] > 1e-9:
            entry = (-float(distance[farthest]), start, start + farthest, end)
            heapq.heappush(waiting, entry)

    wait(0, last)
    while waiting and len(kept) < count:
        _, start, middle, end = heapq.heappop(waiting)
        kept.add(middle)
        wait(start, middle)
        wait(middle, end)
    return np.array(sorted(kept))


def _distance(
    x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """Give the distance of each point from the line from the first to the last."""
    across, up = x[-1] - x[0], y[-1] - y[0]
    length = float(np.hypot(across, up))
    if length == 0:
        return np.hypot(x - x[0], y - y[0])
    return np.abs(up * (x - x[0]) - across * (y - y[0])) / length
