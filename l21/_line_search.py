"""The length of a Newton step."""

from collections.abc import Callable


def find_length(slope: Callable[[float], float], start: float) -> float:
    """Find a length, at most 1, at which the slope has at least halved, by safeguarded secants.

    Of a convex function, whose slope along the step rises from `start` < 0. Its values aren't needed: near
    the optimum their differences drown in rounding.
    """
    length, low, slope_low, high, slope_high = 1.0, 0.0, start, 1.0, 0.0
    for _ in range(30):
        now = slope(length)
        if abs(now) <= 0.5 * abs(start) or (now <= 0.0 and length == 1.0):
            break
        if now > 0.0:
            high, slope_high = length, now
        else:
            low, slope_low = length, now
        rise = slope_high - slope_low
        fraction = -slope_low / rise if rise > 0.0 else 0.5
        length = low + (high - low) * min(0.9, max(0.1, fraction))
    return length
