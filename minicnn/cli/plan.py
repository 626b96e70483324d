"""`minicnn plan`: what runs as one, and which kernel serves each block."""

from __future__ import annotations

from minicnn.cli.app import Kernels, Model, app, open_model, serving


@app.command("plan", short_help="What runs as one, and by which kernel.")
def command(model: Model, kernel: Kernels = None) -> None:
    """Show how a network is run: blocks fused, kernels chosen and why, memory."""
    network = open_model(model)
    with serving(kernel, None):
        print(network.explain_plan())
