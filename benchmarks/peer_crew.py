"""The peers' processes: starting them, asking them, ending them, whatever happens to one of them.

    with Crew(["minicnn", "torch"], threads=2) as crew:
        crew.ask("torch", failed, "turn", quick=False)

Used by `peers.py`; the other end of the pipe is `peer_worker.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Crew", "PeerError", "Worker"]

THREADS = ("OMP", "MKL", "OPENBLAS", "NUMBA")  # whose {}_NUM_THREADS is set


class PeerError(Exception):
    """A peer could not do what it was asked; `what` in a word or two, and the details."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"{what}: {detail}")
        self.reason = {"what": what, "detail": detail}


class Worker:
    """A peer's process, to which requests are sent.

    Parameters
    ----------
    peer : str
        Its name in `peer_worker.ENGINES`.
    threads : int
        How many it computes with.
    device : str
        Where: "cpu" or "cuda:0".

    Raises
    ------
    PeerError
        If the peer is not installed.
    """

    def __init__(self, peer: str, threads: int, device: str = "cpu") -> None:
        script = Path(__file__).with_name("peer_worker.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), peer, str(threads), device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in THREADS}},
            text=True,
        )
        try:
            self.versions = self._answer()["versions"]
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises
        ------
        PeerError
            If the peer failed, or its process has ended.
        """
        assert self.process.stdin
        try:
            print(json.dumps({"do": do, **details}), file=self.process.stdin, flush=True)
        except OSError:
            raise PeerError("failed", "its process has ended") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise PeerError("failed", f"its process ended with {self.process.wait()}")
        message = json.loads(line)
        if "error" in message:
            raise PeerError(message["error"], message["detail"])
        return message

    def close(self) -> None:
        """End the process."""
        self.process.kill()  # it holds nothing that would be lost
        self.process.communicate()


class Crew:
    """All workers of a run, and why those are missing that are.

    Parameters
    ----------
    peers : sequence of str
        Names.
    threads : int
        Threads of each.
    device : str
        Where they compute.
    """

    def __init__(self, peers: Sequence[str], threads: int, device: str = "cpu") -> None:
        self.workers: dict[str, Worker] = {}
        self.missing: dict[str, dict[str, str]] = {}
        self.peers, self.threads, self.device = peers, threads, device

    def __enter__(self) -> Crew:
        try:
            for peer in self.peers:
                try:
                    self.workers[peer] = Worker(peer, self.threads, self.device)
                except PeerError as error:
                    self.missing[peer] = error.reason
                    print(f"{peer}: {error}", file=sys.stderr)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def ask(self, peer: str, failed: dict[str, Any], do: str, **details: Any) -> Any:
        """A peer's answer, or None; then `failed` says why."""
        if peer in failed or peer not in self.workers:
            failed.setdefault(peer, self.missing.get(peer))
            return None
        try:
            return self.workers[peer].ask(do, **details)
        except PeerError as error:
            print(f"{peer}: {error}", file=sys.stderr)
            failed[peer] = error.reason
            return None
