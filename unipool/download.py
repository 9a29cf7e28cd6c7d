"""Download a file that is known by its checksum, in several goes if it must be."""

import hashlib
import logging
import time
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from urllib.response import addinfourl

from unipool.log import LoggedProgress

logger = logging.getLogger(__name__)

SCHEMES = ("http", "https", "file")
DIGITS = {"sha256": 64, "md5": 32}
HEADERS = {"User-Agent": "unipool (speaker verification)"}

TIMEOUT_SECONDS = 60
"""Without a byte; longer, and the connection counts as broken."""

WAITS_SECONDS = (1.0, 3.0, 9.0, 27.0)
"""Before each try but the first."""

PASSING = (408, 425, 429, 500, 502, 503, 504)
"""What a server answers that may answer otherwise a minute later."""

CHUNK = 2**16
"""Bytes that are received at once; so many are lost where a connection breaks."""


def download(url: str, *, checksum: str, file: Path) -> None:
    """Download a file; what is there of it already is not downloaded again.

    Args:
        url: of the file: http, https or file.
        checksum: that it has: ``sha256:`` or ``md5:`` and hexadecimal digits.
        file: where it goes.

    Reads: ``file`` with ``.partial``: what an earlier attempt received, or the whole
        file, put there by other means, which needs no connection then.
    Writes: ``file`` with ``.partial``, which stays when the connection breaks; last
        ``file``.

    Raises:
        ValueError: when it cannot be had, or has another checksum.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not (parts.netloc or parts.scheme == "file"):
        raise ValueError(
            f"{url}: not a URL; needed is one that begins with http://, https:// or"
            " file:///"
        )
    checksum = checksum.lower()
    algorithm, _, digits = checksum.partition(":")
    if len(digits) != DIGITS.get(algorithm) or set(digits) - set("0123456789abcdef"):
        raise ValueError(
            f"{url}: its checksum is given as {checksum!r}; needed is `sha256:` and the"
            " 64 hexadecimal digits that `sha256sum` prints, or `md5:` and 32"
        )
    partial = file.with_name(file.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    begun = _size(partial) > 0
    if not begun or checksum_of(partial, algorithm) != checksum:
        _receive_all(url, partial)
        if begun and checksum_of(partial, algorithm) != checksum:
            logger.info("%s: not of this file; downloaded anew", partial)
            partial.unlink()
            _receive_all(url, partial)
    if checksum_of(partial, algorithm) != checksum:
        fault = _mismatch(url, checksum, partial)
        partial.unlink()
        raise ValueError(fault)
    partial.replace(file)


def _receive_all(url: str, partial: Path) -> None:
    """Complete the partial file, with a pause after each broken connection."""
    for wait in (*WAITS_SECONDS, None):
        try:
            _receive(url, partial)
            return
        except ConnectionError as error:
            if wait is None:
                raise ValueError(
                    f"{url}: {error}, in the last of {len(WAITS_SECONDS) + 1} tries;"
                    f" {_way_out(partial)}"
                ) from error
            logger.warning("%s: %s; once more in %g s", url, error, wait)
            time.sleep(wait)


def _receive(url: str, partial: Path) -> None:
    """Append what is lacking, or start anew if the server cannot do that.

    Raises:
        ConnectionError: when another try may be of use.
        ValueError: when none is.
    """
    with _open(url, partial, _size(partial)) as response:
        appends = response.status == 206
        received = _size(partial) if appends else 0
        length = response.headers["Content-Length"]
        total = None if length is None else received + int(length)
        with (
            partial.open("ab" if appends else "wb") as file,
            LoggedProgress(
                desc=f"download {url}",
                unit="MB",
                total=(total or 0) / 1e6,
                initial=received / 1e6,
                disable=not total,
            ) as progress,
        ):
            while chunk := _read(response):
                file.write(chunk)
                progress.update(len(chunk) / 1e6)
    if total is not None and _size(partial) < total:
        raise ConnectionError(
            f"the connection broke off after {_size(partial)} of {total} bytes"
        )


def _open(url: str, partial: Path, first: int) -> HTTPResponse | addinfourl:
    """Ask for the bytes from ``first`` on."""
    headers = HEADERS | ({"Range": f"bytes={first}-"} if first else {})
    try:
        response: HTTPResponse | addinfourl = urlopen(
            Request(url, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except HTTPError as error:
        error.close()
        if error.code == 416 and first:  # The file has no more than that.
            return _open(url, partial, 0)
        answer = f"the server answers {error.code} {error.reason}"
        if error.code in PASSING:
            raise ConnectionError(answer) from error
        raise ValueError(
            f"{url}: {answer}; correct the URL, or {_way_out(partial)}"
        ) from error
    except (OSError, HTTPException) as error:
        if url.startswith("file:") or isinstance(error, InvalidURL):
            raise ValueError(f"{url}: cannot be read ({error})") from error
        raise ConnectionError(f"cannot be reached ({error})") from error
    return response


def _read(response: HTTPResponse | addinfourl) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise ConnectionError(f"the connection broke off ({error})") from error


def _way_out(partial: Path) -> str:
    way = _by_other_means(partial)
    if there := _size(partial):
        way += f"; now {there} bytes with {checksum_of(partial)} are there"
    return way


def _by_other_means(partial: Path) -> str:
    return f"download it by other means to {partial}, where it is checked and taken"


def _mismatch(url: str, checksum: str, partial: Path) -> str:
    """Say what came instead of the file."""
    with partial.open("rb") as file:
        beginning = file.read(1000).lstrip().lower()
    if beginning.startswith((b"<!doctype html", b"<html")):
        told = beginning[:60].decode(errors="replace")
        what = f"it is a web page, not a list ({told!r}); {_by_other_means(partial)}"
    else:
        what = "the file has changed, or the checksum or the URL is of another"
    found = checksum_of(partial, checksum.partition(":")[0])
    return (
        f"{url}: {_size(partial)} bytes with {found}, needed is {checksum}; {what};"
        " nothing of it was kept"
    )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def checksum_of(file: Path, algorithm: str = "sha256") -> str:
    """Give a file's checksum, after the name of its algorithm and a colon."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, algorithm).hexdigest()
    return f"{algorithm}:{digest}"


def verify(file: Path, checksum: str) -> None:
    """Hold a file against the checksum that it must have.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has another.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    found = checksum_of(file, checksum.partition(":")[0])
    if found != checksum.lower():
        raise ValueError(
            f"{file}: its checksum is {found}, {checksum} is wanted; fetch the list"
            " again, or correct checksum if this is the list you mean"
        )
