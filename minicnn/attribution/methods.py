"""The methods by name: one line each.

    method("ig", net, steps=100).attribute(x, target="tabby")

Letter codes such as "TTF" name the backward rules of the whole family.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from minicnn.attribution.method import Attribution
from minicnn.errors import InputError, UnknownNameError, nearest
from minicnn.network import Network

__all__ = ["METHODS", "accepted", "method", "names_of"]

METHODS: dict[str, tuple[str, str, Mapping[str, Any]]] = {
    # module, class, settings
    "saliency": ("gradients", "Saliency", {}),
    "gradxinput": ("gradients", "GradientTimesInput", {}),
    "ig": ("integrated", "IntegratedGradients", {}),
    "smoothgrad": ("smooth", "SmoothGrad", {"square": False}),
    "smoothgrad-squared": ("smooth", "SmoothGrad", {"square": True}),
    "guided": ("gradients", "GuidedBackprop", {}),
    "salinet": ("gradients", "RuleAttribution", {"rule": "salinet"}),
    "deconvnet": ("gradients", "DeConvNet", {}),
    "desalinet": ("gradients", "DeSaliNet", {}),
    "gradcam": ("cam", "GradCAM", {}),
    "guided-gradcam": ("cam", "GuidedGradCAM", {}),
    "occlusion": ("occlusion", "Occlusion", {}),
    "rise": ("rise", "RISE", {}),
    "rectgrad": ("rectified", "RectGrad", {}),
    "excitation": ("excitation", "ExcitationBackprop", {}),
    "lrp-epsilon": ("relevance", "LRP", {"composite": "epsilon"}),
    "lrp-gamma": ("relevance", "LRP", {"composite": "gamma"}),
    "lrp-alpha2-beta1": ("relevance", "LRP", {"composite": "alpha2-beta1"}),
    "lrp-z-plus": ("relevance", "LRP", {"composite": "z-plus"}),
    "lrp-z-box": ("relevance", "LRP", {"composite": "z-box"}),
    "lrp-w-square": ("relevance", "LRP", {"composite": "w-square"}),
    "lrp-flat": ("relevance", "LRP", {"composite": "flat"}),
    "lrp-epsilon-plus": ("relevance", "LRP", {"composite": "epsilon-plus"}),
    "lrp-epsilon-plus-flat": ("relevance", "LRP", {"composite": "epsilon-plus-flat"}),
    "lrp-epsilon-gamma-box": ("relevance", "LRP", {"composite": "epsilon-gamma-box"}),
    "lrp-epsilon-alpha2-beta1": ("relevance", "LRP", {"composite": "epsilon-alpha2-beta1"}),
    "lrp-epsilon-alpha2-beta1-flat": (
        "relevance",
        "LRP",
        {"composite": "epsilon-alpha2-beta1-flat"},
    ),
}


def method(
    name: str, network: Network, at: str | None = None, seed: int = 0, **options: Any
) -> Attribution:
    """A method by name.

    Parameters
    ----------
    name : str
        One of `METHODS`, or a letter code such as "TTF".
    network : Network
        With one input.
    at : str, optional
        The value whose unit is explained; by default the class scores.
    seed : int
        For methods that draw numbers.
    **options
        Settings of the method, such as steps=100 for "ig".

    Raises
    ------
    UnknownNameError
        If there is no such method; with the nearest names.
    InputError
        If the method has no such setting.

    Examples
    --------
    >>> import minicnn
    >>> method("ig", minicnn.load("mnist"), steps=20).steps
    20
    """
    make, settings = _found(name)
    known = accepted(name)
    for option in options:
        if option not in known:
            has = f"It has {', '.join(sorted(known))}." if known else "It has none."
            raise InputError(f"Method {name} has no setting {option!r}. {has}")
    if "seed" in known:
        options.setdefault("seed", seed)
    made: Attribution = make(network, at=at, **settings, **options)
    return made


def accepted(name: str) -> set[str]:
    """The settings that a method of this name takes."""
    make, settings = _found(name)
    return set(inspect.signature(make).parameters) - {"network", "at", *settings}


def names_of(text: str) -> list[str]:
    """Methods from a list such as "saliency, ig, TTF", each of which there is."""
    parts = [part.strip().lower() for part in text.split(",") if part.strip()]
    names = [part if set(part) - set("tf") else part.upper() for part in parts]
    if not names:
        raise InputError(f"No method is named: give some of {', '.join(METHODS)}.")
    for name in names:
        _found(name)
    return list(dict.fromkeys(names))


def _found(name: str) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """What makes a method, and the settings that its name fixes."""
    key = name.strip().lower()
    if len(key) in (3, 4) and not set(key) - set("tf"):
        return _found("salinet")[0], {"rule": key.upper()}
    if key not in METHODS:
        raise UnknownNameError(
            f"There is no attribution method {name!r}. {nearest(key, METHODS)} Letter codes such "
            f"as TTF name backward rules."
        )
    module, kind, settings = METHODS[key]
    return getattr(import_module(f"minicnn.attribution.{module}"), kind), settings
