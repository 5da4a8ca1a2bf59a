"""Decides whether a series of memory figures grows."""

import statistics

# The first third of a run warms up: buffers, caches and the allocator's arenas reach their sizes.
WARM_UP = 1 / 3

# Bytes that the active memory may grow over the judged part of a run.
TOLERANCE = 500_000


def growth(series):
    """Growth in bytes over the judged part of `series`, pairs of seconds and bytes in the order of time.

    The slope is the median of the slopes of all pairs (Theil 1950, Sen 1968): a few samples that caught the server in
    the middle of something do not move it.
    """
    start, end = series[0][0], series[-1][0]
    judged = [point for point in series if point[0] >= start + WARM_UP * (end - start)]
    if len(judged) < 8:
        raise ValueError(f"{len(judged)} samples after the warm-up are too few to judge; run it for longer")
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(judged)
        for later in judged[index + 1 :]
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) * (judged[-1][0] - judged[0][0])


def leaks(series):
    """Whether `series` grows by more than the tolerance."""
    return growth(series) > TOLERANCE
