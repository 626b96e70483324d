"""Sanity checks: does an attribution change when the network forgets what it learned?

Weights are drawn again layer by layer and the attribution of the same target is compared with that
of the trained network. *Cascading*: from the class scores down, all layers so far. *Independent*:
one layer, the others stay trained. A method whose maps stay as they are does not explain what was
learned; guided backprop stays long, for it mostly finds edges.

    found = randomisation(net, x, Saliency)
    found.similarities["rank_abs"]                    # (layers, images)

Source: J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.attribution.forgetting import named_layers, randomised, weight_layers
from minicnn.attribution.method import Attribution, Index, Target
from minicnn.attribution.similarity import METRICS, SMALLEST, similarities
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = ["Factory", "Randomisation", "randomisation"]

Factory = Callable[[Network], Attribution]
"""Makes the method for a network, e.g. `Saliency` or `lambda net: SmoothGrad(net, samples=20)`."""

MODES = ("cascading", "independent")


@dataclass(frozen=True, eq=False)
class Randomisation:
    """How one method's maps changed.

    Parameters
    ----------
    method : str
        Its name.
    reduction : str
        How its channels are usually made one number a pixel.
    mode : {"cascading", "independent"}
    layers : list of str
        Down to which, or which, was randomised; from the class scores down.
    targets : list of tuple of int
        The unit explained in each image: the trained network's.
    original : numpy.ndarray, shape (N, C, H, W)
        The trained network's maps, raw.
    maps : numpy.ndarray, shape (layers, N, C, H, W)
        After each randomisation.
    similarities : dict of numpy.ndarray, shape (layers, N)
        To the original, by `similarity.METRICS`.
    """

    method: str
    reduction: str
    mode: str
    layers: list[str]
    targets: list[Index]
    original: np.ndarray
    maps: np.ndarray
    similarities: dict[str, np.ndarray]

    def __repr__(self) -> str:
        return f"<{self.mode} randomisation of {len(self.layers)} layers under {self.method}>"


def randomisation(
    network: Network,
    x: np.ndarray,
    factory: Factory,
    target: Target = None,
    mode: str = "cascading",
    layers: int | Sequence[str] | None = None,
    seed: int = 0,
    how: str = "initial",
    track: Track = silent,
    signed: str = "sum",
    magnitude: str = "max_abs",
) -> Randomisation:
    """Attributions of a network that forgets, and how similar they are to the trained one's.

    Parameters
    ----------
    network : Network
        Not changed.
    x : numpy.ndarray, shape (N, C, H, W)
        Photos, preprocessed.
    factory : callable
        Gives the method for a network.
    target : int, str, tuple of int or None, or a list of these
        See `Attribution.attribute`. None is the class that the *trained* network gives.
    mode : {"cascading", "independent"}
        Whether the layers above one are randomised with it.
    layers : int or sequence of str, optional
        After which layers maps are made: names, or how many, evenly spread; by default all. In
        cascades the layers between are randomised all the same.
    seed : int
        Of the weights. A layer's are the same in every step.
    how : {"initial", "shuffle"}
        See `forgetting.randomised`.
    track : Track
        Shows progress.
    signed, magnitude : str
        How channels become one number a pixel before maps are compared; see `reduction.reduce`.

    Returns
    -------
    Randomisation

    Raises
    ------
    InputError
        If the mode does not exist or the network has no weights.
    UnknownNameError
        If a layer does not exist or has no weights.
    """
    if mode not in MODES:
        raise InputError(f"mode={mode!r}: choose {' or '.join(MODES)}.")
    method = factory(network)
    order = weight_layers(network, method.at)
    shown = _shown(network, order, layers)
    method.check(x)
    if min(network.channels_first(x).shape[2:]) < SMALLEST:
        raise InputError(
            f"Maps are compared in windows of {SMALLEST}x{SMALLEST} pixels; the network sees "
            f"photos of {'x'.join(map(str, network.channels_first(x).shape[2:]))}."
        )
    if seed < 0:
        raise InputError(f"A seed is 0 or more; got {seed}.")
    targets = method.targets(x, target)
    original = _maps(method, x, targets)
    maps, measured = [], []
    for layer in track(shown, "layers", len(shown)):
        forgotten = order[: order.index(layer) + 1] if mode == "cascading" else [layer]
        found = _maps(factory(randomised(network, forgotten, seed, how)), x, targets)
        pairs = zip(original, found, strict=True)
        maps.append(found)
        measured.append([similarities(a, b, signed, magnitude) for a, b in pairs])
    return Randomisation(
        method=method.title,
        reduction=method.reduction,
        mode=mode,
        layers=shown,
        targets=targets,
        original=original,
        maps=np.stack(maps),
        similarities={
            name: np.array([[one[name] for one in step] for step in measured]) for name in METRICS
        },
    )


def _shown(network: Network, order: list[str], layers: int | Sequence[str] | None) -> list[str]:
    """The layers asked for, from the top down."""
    if not order:
        raise InputError(f"{network.name} has no weights that could be randomised.")
    if layers is None:
        return order
    if isinstance(layers, str):
        layers = [layers]
    if isinstance(layers, (int, np.integer)):
        if layers < 1:
            raise InputError(f"layers={layers}: give 1 or more, or names.")
        places = np.linspace(len(order) - 1, 0, min(layers, len(order)))  # the lowest always
        return [order[round(place)] for place in places[::-1]]
    chosen = named_layers(network, order, layers)
    return [layer for layer in order if layer in chosen]


def _maps(method: Attribution, x: np.ndarray, targets: list[Index]) -> np.ndarray:
    """A method's maps, channels first: (N, C, H, W)."""
    return method.network.channels_first(method.attribute(x, list(targets)))
