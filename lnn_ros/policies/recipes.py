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
    encoder : str
        Arguments of an earlier training whose encoder it takes; empty: its own.
    novelty : bool
        Whether it says how unlike its training the input is.
    """

    train: str
    encoder: str = ""
    novelty: bool = False


RECIPES = {
    "fly_to_target": Recipe(
        "--core lstm --neurons 20,18 --window 192 --look 0 --flights 600 --epochs 24 --rounds 10 "
        "--round-flights 160 --round-epochs 6 --last-epochs 40 --whole-epochs 6 "
        "--settle-epochs 16",
        encoder="--flights 600 --look 1200000 --epochs 30 --rounds 8 --round-flights 120 "
        "--round-epochs 10 --last-epochs 30 --whole-epochs 14 --bfloat16", novelty=True),
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
    steps, eyes = [], []
    if recipe.encoder:
        first = f"{folder}_encoder"
        steps = [["train", *recipe.encoder.split(), "--out", first, *who]]
        eyes = ["--encoder", f"{first}/policy.safetensors"]
    steps += [["train", *recipe.train.split(), *eyes, "--out", str(folder), *who]]
    if recipe.novelty:
        steps += [
            ["demonstrate", "--task", name, "--share", "1", "--policy", made, "--seeds", HELD_OUT,
             "--out", held, *who],
            ["calibrate", "--fit", "novelty", "--policy", made, "--data", str(folder),
             "--held-out", held, "--out", made],
        ]
    return steps
