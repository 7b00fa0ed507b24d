"""Fetching a file whose checksum is known, in as many pieces as the network makes of it."""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from napari_seg_trainer.errors import DownloadError
from napari_seg_trainer.library.problems import explained

TIMEOUT_SECONDS = 30.0
MOST_BYTES = 8 << 30
"""Of a file; the largest that is built in has 1.2 GB."""
MOST_SECONDS = 4 * 3600.0
"""That a download may take in all: a server that is never silent for long, and never done, would keep it for ever."""
WAIT_SECONDS = 0.2
"""Between two looks at another process that fetches the same file."""
_CHUNK_BYTES = 1 << 20
_LOCAL = {"127.0.0.1", "localhost", "::1"}
_ALGORITHMS = ("md5", "sha256")
_DIGITS = 19
"""Of a length that can be one."""
_NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, OSError)


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


OnBytes = Callable[[int, int | None], None]
"""Called with how many bytes are done, and of how many; None where nobody knows."""


def download(
    url: str, target: Path, *, checksum: str | None, progress: OnBytes | None = None, timeout: float = TIMEOUT_SECONDS
) -> Path:
    """Fetch a file and check that it is the expected one.

    What has arrived is kept in ``TARGET.part``: a connection that breaks off is taken up again where it ended, in this
    call and in a later one, if the server can. The target appears only when it is complete and right. Of two that fetch
    one file at the same time, the second waits for the first.

    Parameters
    ----------
    url : str
        An https address; http is accepted from this machine only.
    target : Path
        The file to write. If it is there and right, nothing is fetched.
    checksum : str
        ``"sha256:..."`` or ``"md5:..."`` in hexadecimal digits. None where none is known: the file is then fetched
        in one go, and the caller has to look at what came.
    progress : callable, optional
        Called with the bytes done, and the bytes in all where the server says.
    timeout : float
        Seconds that the server may be silent.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    DownloadError
        If the server cannot be reached, refuses, sends another file or one of more than 8 GiB, or takes longer than
        four hours in all; if neither the length of the file nor its checksum is known; if the disk is full or
        protected.
    ValueError
        If `checksum` is malformed.
    """
    _check_url(url)
    if checksum is not None:
        _parse_checksum(checksum)
    with explained(target, DownloadError):
        target.parent.mkdir(parents=True, exist_ok=True)
    with alone(target, progress):
        return _fetched(url, target, checksum, progress, timeout)


@contextmanager
def alone(target: Path, progress: OnBytes | None) -> Iterator[None]:
    """Wait until no other process fetches this file or folder; what has arrived of it is shown meanwhile.

    Raises
    ------
    DownloadError
        If the folder that it is to be in cannot be written.
    """
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    with explained(target, DownloadError):
        while True:
            try:
                lock.acquire(timeout=WAIT_SECONDS, poll_interval=WAIT_SECONDS / 4)
                break
            except Timeout:
                if progress is not None:
                    progress(_size(_part_of(target)), None)
            except NotImplementedError:  # a disk without locks
                break
    try:
        yield
    finally:
        lock.release()


def _part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _fetched(url: str, target: Path, checksum: str | None, progress: OnBytes | None, timeout: float) -> Path:
    with explained(target, DownloadError):
        if _is_right(target, checksum):
            return target
        part = _part_of(target)
        if checksum is None:
            part.unlink(missing_ok=True)
        resumed = part.exists()
    _fetch_all(url, part, progress, timeout, needs_length=checksum is None)
    if _accept(part, target, checksum):
        return target
    if resumed:  # the beginning was perhaps of another file: once more, from nothing
        return _fetched(url, target, checksum, progress, timeout)
    raise DownloadError(
        f"The download from {url} is not the expected file (wrong checksum), so it was deleted. Try again; if it "
        "happens again, do not use this address."
    )


def _accept(part: Path, target: Path, checksum: str | None) -> bool:
    """Put what has arrived into place if it is right, and remove it if not."""
    with explained(target, DownloadError):
        if _is_right(part, checksum):
            os.replace(part, target)
            return True
        part.unlink(missing_ok=True)
        return _is_right(target, checksum)  # another process may have been faster


def _fetch_all(url: str, part: Path, progress: OnBytes | None, timeout: float, *, needs_length: bool) -> None:
    """Fetch until nothing is missing; a piece that brings nothing ends the attempts."""
    end = time.monotonic() + MOST_SECONDS
    while True:
        before = _size(part)
        try:
            return _fetch_piece(url, part, progress, timeout, end, needs_length=needs_length)
        except _BrokenOffError as error:
            after = _size(part)
            if after <= before:
                raise DownloadError(
                    f"The connection to {urlsplit(url).hostname} was lost after {after:,} bytes. Check the network "
                    "and try again; the download continues where it stopped."
                ) from error


def _fetch_piece(
    url: str, part: Path, progress: OnBytes | None, timeout: float, end: float, *, needs_length: bool
) -> None:
    """Append what one answer of the server holds; raises _BrokenOffError if that is not all."""
    start = _size(part)
    with _open(url, start, timeout) as response:
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing comes after what is there; the checksum shows whether that is all
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            start = 0
        elif _range_start(response) != start:
            raise DownloadError(f"{urlsplit(url).hostname} sent the wrong part of the file. Try again later.")
        total = _length(response, url, start, needs_length=needs_length)
        done = start
        with explained(part, DownloadError), part.open("r+b" if start else "wb") as file:
            file.seek(start)
            while chunk := _read(response):
                file.write(chunk)
                done += len(chunk)
                _check_limits(url, part, done, end)
                if progress is not None:
                    progress(done, total)
    if total is not None and done < total:
        raise _BrokenOffError


def _length(response: Any, url: str, start: int, *, needs_length: bool) -> int | None:
    """Return how many bytes the file has, as far as the server says."""
    told = response.headers.get("Content-Length", "")
    if told.isascii() and told.isdecimal() and len(told) < _DIGITS:
        if start + int(told) > MOST_BYTES:
            raise DownloadError(_too_large(url))
        return start + int(told)
    if needs_length and not response.chunked:  # the end of the connection would be taken for that of the file
        raise DownloadError(
            f"{urlsplit(url).hostname} does not report the length of the file, and its checksum is unknown, so an "
            "incomplete download could not be detected. Download it with a browser."
        )
    return None


def _check_limits(url: str, part: Path, done: int, end: float) -> None:
    if done > MOST_BYTES:
        part.unlink(missing_ok=True)
        raise DownloadError(_too_large(url))
    if time.monotonic() > end:
        raise DownloadError(
            f"{urlsplit(url).hostname} has sent {done:,} bytes in {MOST_SECONDS / 3600:g} hours. Try again over "
            "another network; the download continues where it stopped."
        )


def _too_large(url: str) -> str:
    return f"The file at {url} is larger than {MOST_BYTES >> 30} GiB, and so not a model. Check the address."


def _open(url: str, start: int, timeout: float) -> Any:
    """Return the server's answer to a request for everything from byte `start` on."""
    host = urlsplit(url).hostname
    headers = {"User-Agent": "napari-seg-trainer"} | ({"Range": f"bytes={start}-"} if start else {})
    handlers = [_SafeRedirects(), *([urllib.request.ProxyHandler({})] if host in _LOCAL else [])]
    try:
        return urllib.request.build_opener(*handlers).open(
            urllib.request.Request(url, headers=headers), timeout=timeout
        )
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return error  # is a response too
        error.close()
        reason = " ".join(str(error.reason).split())  # of a loop of redirects it has several lines
        raise DownloadError(
            f"{host} answers {error.code} {reason} to {url}. Try again later, or fetch the file with a browser."
        ) from error
    except _NETWORK_ERRORS as error:
        why = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{host} cannot be reached ({why}). Check the network, the proxy and the firewall, and try again."
        ) from error


def _read(response: Any) -> bytes:
    """Return the next bytes, or none at the end."""
    try:
        return bytes(response.read1(_CHUNK_BYTES))
    except (http.client.HTTPException, OSError) as error:
        raise _BrokenOffError from error


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Goes where the server says, but never from https to something that can be read on the way."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise DownloadError(
            f"'{url}' is not downloaded, because it does not begin with https://. Use an https address."
        )


def _parse_checksum(checksum: str) -> tuple[str, str]:
    algorithm, _, digest = checksum.partition(":")
    if algorithm not in _ALGORITHMS or len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size * 2:
        raise ValueError(f"checksum {checksum!r} is not like 'sha256:...' or 'md5:...'")
    return algorithm, digest.lower()


def _is_right(path: Path, checksum: str | None) -> bool:
    if not path.is_file() or checksum is None:
        return path.is_file()
    algorithm, digest = _parse_checksum(checksum)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return found.hexdigest() == digest


def _range_start(response: Any) -> int | None:
    """Return where a partial answer begins."""
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
