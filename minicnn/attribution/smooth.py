"""SmoothGrad: the mean attribution of noisy copies of the photo.

    mean over j of A(x + sigma z_j),   z_j ~ N(0, 1),   sigma = noise (max x - min x)

and with `square` the mean of A^2. A is the gradient, or any other attribution. The target is chosen
on the clean photo. The noise of a sample is the same for every photo, so that a photo's result does
not depend on what else is in the batch.

Source: Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017 (noise 10 to 20 %, some
50 samples); the squares: Hooker et al., "A benchmark for interpretability methods", 2019.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from minicnn.attribution.gradients import Saliency
from minicnn.attribution.method import Attribution, Index, Target, chunks
from minicnn.errors import InputError
from minicnn.network import Network

__all__ = ["SmoothGrad"]

STREAM = 0x5300  # of random numbers, apart from those that users draw with the same seed


class SmoothGrad(Attribution):
    """The mean attribution of noisy copies.

    Parameters
    ----------
    network : Network
        With one input.
    samples : int
        How many copies.
    noise : float
        Standard deviation of the noise, as a share of the photo's range of values.
    square : bool
        Whether the mean of squares is given.
    seed : int
        Of the noise.
    inner : Attribution, optional
        What is averaged; by default the gradient.
    at : str, optional
        The value whose unit is explained; by default the class scores, or that of `inner`.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> x = minicnn.data.photo("digit_7", net.preprocess)
    >>> SmoothGrad(net, samples=5).attribute(x, target=7).shape
    (1, 1, 28, 28)
    """

    name: ClassVar[str] = "SmoothGrad"

    def __init__(
        self,
        network: Network,
        samples: int = 50,
        noise: float = 0.15,
        square: bool = False,
        seed: int = 0,
        inner: Attribution | None = None,
        at: str | None = None,
    ) -> None:
        super().__init__(network, at or (inner.at if inner else None))
        self.inner = inner or Saliency(network, at=at)
        if not isinstance(samples, (int, np.integer)) or samples < 1:
            raise InputError(
                f"samples={samples}: one noisy copy or more is needed, a whole number."
            )
        if not 0 <= noise < np.inf:
            raise InputError(f"noise={noise}: give a share of the photo's range, such as 0.15.")
        if not isinstance(seed, (int, np.integer)) or seed < 0:
            raise InputError(f"A seed is 0 or more; got {seed}.")
        if self.inner.given is not network or self.inner.at != self.at:
            raise InputError(
                f"{self.inner!r} explains something else than {self.at} of {network.name}; make "
                f"both for one network and one value."
            )
        self.samples, self.noise, self.square, self.seed = samples, noise, square, seed

    @property
    def title(self) -> str:
        return "SmoothGrad squared" if self.square else self.name

    @property
    def reduction(self) -> str:  # type: ignore[override]
        """That of what is averaged."""
        return self.inner.reduction

    def attribute(self, x: np.ndarray, target: Target = None) -> np.ndarray:
        self.check(x)
        found = [
            self._one(one, index) for one, index in zip(x, self.targets(x, target), strict=True)
        ]
        return np.stack(found)

    def _one(self, x: np.ndarray, index: Index) -> np.ndarray:
        """One photo (C, H, W)."""
        spread = x.dtype.type(self.noise * (float(x.max()) - float(x.min())))
        total = np.zeros(x.shape)
        parts = chunks(self.part, (self.samples, *x.shape))
        for rows in self.track(parts, self.title, len(parts)):
            samples = range(self.samples)[rows]
            noisy = np.stack([x + spread * self._noise(j, x) for j in samples])
            for values in self.inner.attribute(noisy, [index] * len(noisy)):
                total += np.square(values, dtype=np.float64) if self.square else values
        return (total / self.samples).astype(x.dtype)

    def _noise(self, sample: int, like: np.ndarray) -> np.ndarray:
        """Standard normal noise of a sample."""
        generator = np.random.default_rng([self.seed, sample, STREAM])
        return generator.standard_normal(like.shape, np.float32).astype(like.dtype, copy=False)
