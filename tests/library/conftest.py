import io
import json
import threading
import time
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

STARDIST_CONFIG = {
    "n_dim": 2,
    "axes": "YXC",
    "n_channel_in": 1,
    "n_channel_out": 33,
    "train_checkpoint": "weights_best.h5",
    "n_rays": 32,
    "grid": [2, 2],
    "backbone": "unet",
    "n_classes": None,
    "unet_n_depth": 3,
    "unet_kernel_size": [3, 3],
    "unet_n_filter_base": 32,
    "net_input_shape": [None, None, 1],
    "train_patch_size": [256, 256],
    "train_foreground_only": 0.9,
    "train_epochs": 400,
    "train_learning_rate": 0.0003,
    "train_batch_size": 8,
    "train_reduce_lr": {"factor": 0.5, "patience": 40, "min_delta": 0},
    "use_gpu": False,
}


@pytest.fixture
def library(tmp_path):
    return ModelLibrary(tmp_path / "models")


@pytest.fixture
def make_card():
    def make(name="nuclei", **values):
        values = {"engine": "stardist", "channels": (ModelChannel(name="nuclei"),), **values}
        return ModelCard(name=name, created=datetime(2026, 1, 2, tzinfo=UTC), **values)

    return make


@pytest.fixture
def make_finished(tmp_path):
    """Return a maker of folders as a training leaves them, ready to be registered."""

    def make(run="run", content=b"weights"):
        folder = tmp_path / run / "model"
        (folder / "figures").mkdir(parents=True)
        (folder / "weights_best.h5").write_bytes(content)
        (folder / "config.json").write_text(json.dumps(STARDIST_CONFIG))
        (folder / "figures" / "curves.png").write_bytes(b"png")
        return folder

    return make


@pytest.fixture
def make_stardist(tmp_path):
    """Return a maker of folders as plain StarDist writes them."""

    def make(name="plain", *, thresholds=True, weights=True, **changes):
        folder = tmp_path / "theirs" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(STARDIST_CONFIG | changes))
        if thresholds:
            (folder / "thresholds.json").write_text('{"prob": 0.48, "nms": 0.3}')
        if weights:
            (folder / "weights_best.h5").write_bytes(b"weights")
        return folder

    return make


def zipped(files):
    """Return a zip archive of names and contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def stardist_zip():
    return zipped({"config.json": json.dumps(STARDIST_CONFIG), "weights_best.h5": b"weights", "run.sh": b"rm -rf ."})


PIECE = 10_000


class Server:
    """A real web server on this machine.

    Attributes
    ----------
    content : bytes
        What it serves at every path but those below ``/missing`` and ``/moved``.
    breaks_after : list of int
        After how many bytes the next answers break off.
    ranges : bool
        Whether it understands Range.
    sized : bool or str
        Whether it tells the length; if not, it sends chunks. A text is told as the length; "" for none at all.
    pause : float
        Seconds between two pieces of what it sends.
    requests : list of (str, str or None, int)
        Path, Range header and body bytes sent, of each request.
    """

    def __init__(self):
        self.content, self.breaks_after, self.ranges, self.sized = b"", [], True, True
        self.moved_to, self.wrong_start, self.requests, self.pause = "", False, [], 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *args):
                pass

        return Handler

    def answer(self, request):
        asked = request.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        status, sent = self._send_head(request, start, partial=bool(asked and self.ranges)), b""
        if status in (200, 206):
            body = self.content[start:]
            sent = body[: self.breaks_after.pop(0)] if self.breaks_after else body
        self.requests.append((request.path, asked, len(sent)))
        if status in (200, 206):
            self._send_body(request, sent, whole=len(sent) == len(body))

    def _send_head(self, request, start, *, partial):
        status = 206 if partial else 200
        if request.path.startswith("/missing"):
            status = 404
        elif request.path.startswith("/moved"):
            status = 302
        elif start >= len(self.content) and partial:
            status = 416
        request.send_response(status)
        if status == 302:
            request.send_header("Location", self.moved_to)
        if status == 206:
            first = start + 1 if self.wrong_start else start
            request.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        if status in (200, 206) and self.sized is True:
            request.send_header("Content-Length", str(len(self.content) - start))
        elif status in (200, 206) and self.sized:
            request.send_header("Content-Length", self.sized)
        elif status in (200, 206) and self.sized is False:
            request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        return status

    def _send_body(self, request, sent, *, whole):
        if self.sized is not False:
            with suppress(ConnectionError):  # who fetches has given up
                for place in range(0, len(sent), PIECE):
                    request.wfile.write(sent[place : place + PIECE])
                    time.sleep(self.pause)
            return
        request.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent))
        if whole:
            request.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()
