r"""Signals through depth: do activations and gradients keep their size, vanish, or explode?

In a net of L layers h_l = f(W_l h_{l-1}), n units wide, whose weights are drawn independently with
mean 0 and variance v, each layer multiplies the mean square of what goes through it, forward and
backward, by about

    n v          f linear
    n v / 2      f ReLU, which stops half of it
    < n v        f tanh, f sigmoid: slopes of at most 1 and 1/4

so what is not 1 a layer is that number to the L-th at the end. LeCun's and Glorot's v = 1 / n suits
linear layers and tanh near 0, He's v = 2 / n suits ReLU. The plainest case has W = diag(w):

    h_L = w^L h_0,    dh_L / dh_l = w^(L - l)

Sources: Hochreiter 1991; LeCun et al. 1998; Glorot and Bengio 2010; He et al. 2015, section 2.2;
Saxe et al. 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minicnn import functional as F
from minicnn import nn
from minicnn.errors import InputError, UnknownNameError, nearest
from minicnn.studies.base import Findings, Setup
from minicnn.tensor import Tensor, grad

__all__ = ["INITIALISATIONS", "NONLINEARITIES", "diagonal", "drawn", "growth", "signals", "through"]

NONLINEARITIES: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Sequential,  # of no layers: the identity
    "ReLU": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
INITIALISATIONS: dict[str, str | float] = {  # a scheme, or one standard deviation for all
    "LeCun": "lecun_normal",
    "Glorot": "glorot_normal",
    "He": "he_normal",
    "orthogonal": "orthogonal",
    "deviation 0.01": 0.01,
    "deviation 0.2": 0.2,
}
WEIGHTS = (0.5, 0.9, 1.0, 1.1, 1.5)  # of the diagonal net
IMAGES = 256


def signals(setup: Setup, depth: int = 30, width: int = 256) -> Findings:
    """Root mean square of activations and gradients, layer by layer, at initialisation.

    Parameters
    ----------
    setup : Setup
        Up to 256 of its training images go through the nets; nothing is trained.
    depth, width : int
        Layers, and units of each.

    Returns
    -------
    Findings
        Arrays: `nonlinearities` (F), `initialisations` (I), `activations` and `gradients`
        (F, I, depth), `growth_forward` and `growth_backward` (F, I), the factor a layer;
        `weights` (W), `diagonal_forward`, `diagonal_backward` and the closed forms
        `power_forward`, `power_backward` (W, depth + 1).

    Raises
    ------
    InputError
        If epochs are asked for, or fewer than two layers.
    """
    if setup.epochs is not None:
        raise InputError("signals looks at networks before training: leave the epochs out.")
    if depth < 2 or width < 1:
        raise InputError(f"A deep net has 2 layers or more; got depth {depth}, width {width}.")
    images = setup.train.sample(IMAGES, setup.seed)
    x = images.array().reshape(len(images), -1)
    found = []  # the same weights for every nonlinearity
    for name in setup.track(INITIALISATIONS, "initialisations", len(INITIALISATIONS)):
        weights = drawn(name, x.shape[1], width, depth, setup.seed)
        found.append([through(x, weights, f, setup.seed) for f in NONLINEARITIES])
    forward, backward = np.moveaxis(np.array(found), 2, 0).swapaxes(1, 2)  # (F, I, depth) each
    layers = np.arange(depth + 1)
    w = np.array(WEIGHTS)
    straight, back = diagonal(w, depth)
    arrays = {
        "nonlinearities": np.array(list(NONLINEARITIES)),
        "initialisations": np.array(list(INITIALISATIONS)),
        "activations": forward, "gradients": backward,
        "growth_forward": growth(forward), "growth_backward": growth(backward[..., ::-1]),
        "weights": w, "diagonal_forward": straight, "diagonal_backward": back,
        "power_forward": w[:, None] ** layers,
        "power_backward": w[:, None] ** layers[::-1],
    }  # fmt: skip
    rows = [
        [i] + [
            f"{arrays['growth_forward'][k, j]:.3g} / {arrays['growth_backward'][k, j]:.3g}"
            for k in range(len(NONLINEARITIES))
        ]
        for j, i in enumerate(INITIALISATIONS)
    ]  # fmt: skip
    off = max(
        np.abs(arrays[f"diagonal_{way}"] / arrays[f"power_{way}"] - 1).max()
        for way in ("forward", "backward")
    )
    notes = (
        "The table gives the factor a layer, forward / backward. 1 keeps the signal.",
        f"Independent weights of variance v: a layer multiplies by sqrt(n v) where linear and "
        f"sqrt(n v / 2) with ReLU, so He's v = 2 / n keeps ReLU's signals (n = {width}).",
        "Layers as wide as what they read have Glorot's v = 2 / (n + m) equal to LeCun's 1 / n.",
        "Where the weights are too large, tanh and sigmoid saturate: activations stay in range.",
        f"diag(w): measured and w^l differ by at most {off:.1e} of the value, over {depth} layers.",
    )
    title = f"Signals at initialisation: {depth} layers of {width} units, {len(x)} images of " \
            f"{setup.train.name}"  # fmt: skip
    return Findings(
        "signals", title, ("initialisation", *NONLINEARITIES), rows, arrays, notes
    )  # fmt: skip


def drawn(
    initialisation: str, inputs: int, width: int, depth: int, seed: int = 0
) -> list[np.ndarray]:
    """Weights of `depth` layers: (width, inputs), then (width, width), float32.

    Raises
    ------
    UnknownNameError
        If there is no such initialisation.
    """
    if initialisation not in INITIALISATIONS:
        known = nearest(initialisation, INITIALISATIONS)
        raise UnknownNameError(f"There is no initialisation {initialisation!r} here. {known}")
    how, generator = INITIALISATIONS[initialisation], np.random.default_rng(seed)
    shapes = [(width, inputs)] + [(width, width)] * (depth - 1)
    if isinstance(how, str):
        return [nn.draw(how, shape, generator) for shape in shapes]
    return [(how * generator.standard_normal(shape)).astype(np.float32) for shape in shapes]


def through(
    x: np.ndarray, weights: Sequence[np.ndarray], nonlinearity: str, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Send inputs through a deep net, and a top signal p of standard normal numbers back.

    Parameters
    ----------
    x : float32 array (N, D)
        Inputs.
    weights : sequence of arrays (out, in)
        One a layer.
    nonlinearity : str
        One of `NONLINEARITIES`.
    seed : int
        Of p.

    Returns
    -------
    activations, gradients : float64 arrays (layers)
        Root mean squares of each layer's output h_l, and of the gradient of <p, h_L> with respect
        to it.

    Raises
    ------
    UnknownNameError
        If there is no such nonlinearity.
    """
    if nonlinearity not in NONLINEARITIES:
        known = nearest(nonlinearity, NONLINEARITIES)
        raise UnknownNameError(f"There is no nonlinearity {nonlinearity!r} here. {known}")
    function = NONLINEARITIES[nonlinearity]()
    h, seen = Tensor(x, requires_grad=True), []
    for weight in weights:
        h = function(F.linear(h, weight))
        seen.append(h)
    top = np.random.default_rng([seed, 1]).standard_normal(h.shape).astype(np.float32)
    return _sizes(seen), _sizes(grad(h, seen, top))


def _sizes(tensors: list[Tensor]) -> np.ndarray:
    return np.array([np.sqrt(np.mean(t.data.astype(np.float64) ** 2)) for t in tensors])


def growth(sizes: np.ndarray) -> np.ndarray:
    """Factor a layer: geometric mean along the last axis, up to where a signal is gone.

    Examples
    --------
    >>> growth(np.array([8.0, 4.0, 2.0, 1.0]))
    array(0.5)
    """
    there = (sizes > 0) & np.isfinite(sizes)
    steps = there[..., 1:] & there[..., :-1]
    logs = np.log(np.where(there, sizes, 1.0))
    total = np.where(steps, np.diff(logs, axis=-1), 0.0).sum(axis=-1)
    return np.asarray(np.exp(total / np.maximum(steps.sum(axis=-1), 1)))


def diagonal(weights: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Ones through `depth` linear layers diag(w), and ones back, as the engine computes them.

    Parameters
    ----------
    weights : array (W)
        The diagonal.
    depth : int
        Layers.

    Returns
    -------
    forward, backward : float64 arrays (W, depth + 1)
        h_l and dh_L / dh_l for l = 0 ... L.
    """
    layer = nn.Linear(len(weights), len(weights), bias=False)
    layer.weight.data[...] = np.diag(weights)
    h = Tensor(np.ones((1, len(weights)), np.float32), requires_grad=True)
    seen = [h]
    for _ in range(depth):
        seen.append(layer(seen[-1]))
    back = grad(seen[-1], seen, np.ones_like(h.data))
    forward, backward = (
        np.stack([t.data[0] for t in part], axis=1).astype(np.float64) for part in (seen, back)
    )
    return forward, backward
