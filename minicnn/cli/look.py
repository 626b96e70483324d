"""`minicnn look`: what is in a network. Its commands are in `look_*.py`, one file each."""

from __future__ import annotations

import typer

from minicnn.cli.app import app

__all__ = ["look"]

look = typer.Typer(
    help="Look inside: filters, activations, units, embeddings.", no_args_is_help=True
)
app.add_typer(look, name="look")
