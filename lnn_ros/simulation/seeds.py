"""Who may use which world seeds: the ranges are disjoint, and nothing is tuned on reported ones."""

from __future__ import annotations

TRAIN = range(100_000)
"""Worlds that policies learn from."""
VALIDATION = range(100_000, 200_000)
"""Worlds on which a version is chosen."""
JUDGED = range(180_000, 190_000)
"""Of these, the worlds in which a candidate of fine-tuning is judged."""
REPORTED = range(200_000, 300_000)
"""Worlds behind every success rate that the project reports."""
# Higher seeds belong to nobody: demos and tests fly there.


def final_worlds(digest: str, count: int) -> range:
    """Worlds in which a policy is judged at last: nobody can tune on them.

    They are not known before the weights are.

    Parameters
    ----------
    digest : str
        SHA-256 of the weights, hexadecimal.
    count : int
        How many; at most those that are reported.
    """
    first = REPORTED.start + int(digest[:16], 16) % (len(REPORTED) - count + 1)
    return range(first, first + count)
