"""How each policy that ships is made: the arguments of ``lnn_ros train``, and what follows.

A recipe is what the policy's card says, less who trained and where to: the weights do not depend
on that. They do on the code: at another commit than the card's, it makes another policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HELD_OUT = "190000:190100"
"""Validation worlds on which the level of novelty is set."""


@dataclass(frozen=True)
class Recipe:
    """How a policy is made.

    Attributes
    ----------
    train : str
        Arguments of ``lnn_ros train``.
    novelty : bool
        Whether it says how unlike its training the input is.
    """

    train: str
    novelty: bool = False


RECIPES = {
    "fly_to_target": Recipe(
        "--flights 600 --look 1200000 --epochs 30 --rounds 8 --round-flights 120 --round-epochs 10 "
        "--last-epochs 30 --whole-epochs 14 --bfloat16", novelty=True),
    "lane": Recipe(
        "--task lane --core flow --flights 50 --look 150000 --epochs 100 --rounds 5 "
        "--round-flights 16 --round-epochs 30 --last-epochs 120 --whole-epochs 6"),
}
"""By the policy's name, which is its task's."""


def commands(name: str, folder: Path, who: Sequence[str] = ()) -> list[list[str]]:
    """Return the commands of ``lnn_ros`` that make a policy, one after the other.

    Parameters
    ----------
    name : str
        Of the policy.
    folder : Path
        Of its run, where it is made: ``policy.safetensors``.
    who : sequence of str
        Arguments that say who flies, as ``--workers 2``.
    """
    recipe, made, held = RECIPES[name], str(folder / "policy.safetensors"), f"{folder}_held"
    steps = [["train", *recipe.train.split(), "--out", str(folder), *who]]
    if recipe.novelty:
        steps += [
            ["demonstrate", "--task", name, "--share", "1", "--policy", made, "--seeds", HELD_OUT,
             "--out", held, *who],
            ["calibrate", "--fit", "novelty", "--policy", made, "--data", str(folder),
             "--held-out", held, "--out", made],
        ]
    return steps
