"""Decides whether a series of memory figures grows."""

import statistics

# The first third of a run warms up: buffers, caches and the allocator's arenas reach their sizes.
WARM_UP = 1 / 3

# Bytes that memory may grow over the judged part of a run, evenly and in one step. Half an hour of rests showed active
# bytes that scatter by 0.57 MB (standard deviation) about a level that does not change, each rest by itself. Of runs of
# half an hour that scatter so and lose nothing, one in a hundred grows by TOLERANCE, less than one in a thousand has
# a STEP; of those that lose 1.3 MB at once, nine in ten have one, however late it comes.
TOLERANCE = 500_000
STEP = 1_000_000

# Samples on either side of a step: so many of a half-hour's last make two minutes.
SIDE = 6


def growth(series):
    """Growth in bytes over the judged part of `series`, pairs of seconds and bytes in the order of time.

    The slope is the median of the slopes of all pairs (Theil 1950, Sen 1968): a few samples that caught the server in
    the middle of something do not move it.
    """
    judged = after_warm_up(series)
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(judged)
        for later in judged[index + 1 :]
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) * (judged[-1][0] - judged[0][0])


def after_warm_up(series):
    start, end = series[0][0], series[-1][0]
    judged = [point for point in series if point[0] >= start + WARM_UP * (end - start)]
    if len(judged) < 8:
        raise ValueError(f"{len(judged)} samples after the warm-up are too few to judge; run it for longer")
    return judged


def step(series):
    """How many bytes more the samples have after some time than before it, at the most that any time has: what is lost
    once and for all moves no slope of most pairs."""
    values = [value for _, value in after_warm_up(series)]
    side = min(SIDE, len(values) // 3)
    return max(
        statistics.median(values[cut:]) - statistics.median(values[:cut])
        for cut in range(side, len(values) - side + 1)
    )


def leaks(series, tolerance=TOLERANCE, most=STEP):
    """Whether `series` grows by more than the tolerance, or by more than `most` in a step."""
    return growth(series) > tolerance or step(series) > most


def lasts(series):
    """Whether counts, of descriptors or threads, end above all that the warm-up had."""
    counts = [value for _, value in series]
    return min(counts[-3:]) > max(counts[: max(1, len(counts) - len(after_warm_up(series)))])
