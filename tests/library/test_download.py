import errno
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from napari_seg_trainer.errors import DownloadError
from napari_seg_trainer.library.download import download
from napari_seg_trainer.library.pretrained import builtin_models
from testkit.patience import wait_until

CONTENT = os.urandom(300_000)


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def visible(folder):
    """What is in a folder, but for locks."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "model.zip"


@pytest.fixture
def part(target):
    target.parent.mkdir()
    return target.with_name("model.zip.part")


@pytest.fixture
def server(server):
    server.content = CONTENT
    return server


def fetch(server, target, **options):
    return download(f"{server.url}/model.zip", target, **({"checksum": sha256(CONTENT), "timeout": 5} | options))


@pytest.mark.parametrize("sized", [True, False])
def test_a_file_arrives_whole(server, target, sized):
    server.sized = sized
    seen = []
    assert fetch(server, target, progress=lambda done, total: seen.append((done, total))) == target
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT) if sized else None)
    assert visible(target.parent) == ["model.zip"]


def test_md5_is_accepted_and_capitals_too(server, target):
    fetch(server, target, checksum=f"md5:{hashlib.md5(CONTENT).hexdigest().upper()}")
    assert target.exists()


def test_a_file_that_is_there_is_not_fetched_again(server, target):
    fetch(server, target)
    fetch(server, target)
    assert len(server.requests) == 1


def test_a_wrong_file_that_is_there_is_replaced(server, target):
    target.parent.mkdir()
    target.write_bytes(b"older")
    assert fetch(server, target).read_bytes() == CONTENT


@pytest.mark.parametrize("sized", [True, False])
def test_a_broken_connection_is_taken_up_again_where_it_ended(server, target, sized):
    server.sized, server.breaks_after = sized, [100_000, 50_000]
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [
        ("/model.zip", None, 100_000),
        ("/model.zip", "bytes=100000-", 50_000),
        ("/model.zip", "bytes=150000-", 150_000),
    ]


def test_what_an_earlier_call_left_is_kept(server, target):
    server.breaks_after = [120_000, 0]
    with pytest.raises(DownloadError, match="was lost after 120,000 bytes"):
        fetch(server, target)
    assert not target.exists()
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1] == ("/model.zip", "bytes=120000-", len(CONTENT) - 120_000)


def test_a_server_without_ranges_starts_again(server, target, part):
    server.ranges = False
    part.write_bytes(CONTENT[:1000])
    assert fetch(server, target).read_bytes() == CONTENT
    assert server.requests == [("/model.zip", "bytes=1000-", len(CONTENT))]


def test_a_server_that_sends_another_range_is_not_believed(server, target, part):
    server.wrong_start = True
    part.write_bytes(CONTENT[:1000])
    with pytest.raises(DownloadError, match="the wrong part of the file"):
        fetch(server, target)


def test_a_complete_part_needs_no_more_bytes(server, target, part):
    part.write_bytes(CONTENT)
    assert fetch(server, target).read_bytes() == CONTENT
    assert sum(sent for *_, sent in server.requests) == 0


@pytest.mark.parametrize("left", [b"another file's beginning", os.urandom(len(CONTENT) + 5)], ids=["short", "long"])
def test_a_part_of_another_file_is_thrown_away(server, target, part, left):
    part.write_bytes(left)
    assert fetch(server, target).read_bytes() == CONTENT


def test_a_wrong_file_is_removed(server, target):
    with pytest.raises(DownloadError, match="not the expected file"):
        fetch(server, target, checksum=sha256(b"else"))
    assert visible(target.parent) == []
    assert len(server.requests) == 1


def test_a_missing_file_is_named(server, target):
    with pytest.raises(DownloadError, match=r"404 .*/missing/model.zip") as caught:
        download(f"{server.url}/missing/model.zip", target, checksum=sha256(b""))
    assert "\n" not in str(caught.value)


def test_a_redirect_is_followed(server, target):
    server.moved_to = f"{server.url}/elsewhere"
    download(f"{server.url}/moved", target, checksum=sha256(CONTENT))
    assert [path for path, *_ in server.requests] == ["/moved", "/elsewhere"]


@pytest.mark.parametrize(
    "elsewhere", ["http://example.org/model.zip", "ftp://example.org/model.zip", "file:///etc/passwd", "data:,model"]
)
def test_a_redirect_to_an_open_connection_is_refused(server, target, elsewhere):
    server.moved_to = elsewhere
    with pytest.raises(DownloadError, match=r"https|is not allowed"):
        download(f"{server.url}/moved", target, checksum=sha256(CONTENT))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.zip",
        "http://localhost.example.org/a.zip",
        "http://127.0.0.1@example.org/a.zip",
        "http:example.org/a.zip",
        "ftp://127.0.0.1/a.zip",
        "file:///etc/passwd",
        "a.zip",
    ],
)
def test_only_https_is_fetched(target, url):
    with pytest.raises(DownloadError, match="https"):
        download(url, target, checksum=sha256(b""))


@pytest.fixture
def certificate(tmp_path):
    """A certificate for this machine that nobody vouches for, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "certificate.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    made = ["-addext", "subjectAltName=DNS:localhost", "-keyout", path, "-out", path.with_suffix(".crt")]
    subprocess.run(["openssl", *words, *made], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def test_a_server_that_nobody_vouches_for_is_not_trusted(target, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def answer():
        with suppress(OSError):  # the other side hangs up
            context.wrap_socket(listening.accept()[0], server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DownloadError, match=r"localhost cannot be reached .*CERTIFICATE_VERIFY_FAILED"):
            download(f"https://localhost:{listening.getsockname()[1]}/a.zip", target, checksum=sha256(b""), timeout=5)
        thread.join()
    assert not target.exists()


def test_built_in_models_are_fetched_over_https_and_nearly_all_of_them_have_a_hash():
    found = [(spec, model) for spec, model in builtin_models().values() if not model.is_starter]
    assert len(found) > 15
    assert all(model.url.startswith("https://") for _, model in found)
    assert all(model.checksum is None or model.checksum.startswith("sha256:") for _, model in found)
    unknown = {spec.id for spec, model in found if model.checksum is None}
    assert unknown == {"cellpose"}  # whose weights are read as numbers only


def test_a_refused_connection_is_explained(target):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # not listening
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a.zip"
        with pytest.raises(DownloadError, match=r"127\.0\.0\.1 cannot be reached"):
            download(url, target, checksum=sha256(b""))


def test_a_silent_server_is_given_up(target):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"
        with pytest.raises(DownloadError, match="timed out"):
            download(url, target, checksum=sha256(b""), timeout=0.2)


def test_a_full_disk_is_explained(server, target, monkeypatch):
    def full(path, mode="r", *args, **options):
        file = real_open(path, mode, *args, **options)
        if "w" in mode:
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device")
        return file

    real_open = Path.open
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DownloadError, match="no space left"):
        fetch(server, target)


def test_a_file_in_the_folders_way_is_explained(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="in the way"):
        fetch(server, tmp_path / "file" / "model.zip")


@pytest.mark.parametrize("checksum", ["", "abc", "sha256:12", "crc32:00000000"])
def test_a_malformed_checksum_is_refused(target, checksum):
    with pytest.raises(ValueError, match="checksum"):
        download("https://example.org/a.zip", target, checksum=checksum)


def test_who_fetches_the_same_file_waits_for_the_first(server, target):
    server.pause = 0.02
    told = []
    first = threading.Thread(target=fetch, args=(server, target))
    first.start()
    wait_until(lambda: target.with_name("model.zip.part").exists())
    fetch(server, target, progress=lambda done, total: told.append((done, total)))
    first.join()
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert told
    assert all(total is None for _, total in told)


def test_without_a_checksum_a_second_download_disturbs_no_first(server, target):
    server.pause = 0.02
    both = [threading.Thread(target=fetch, args=(server, target), kwargs={"checksum": None}) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_half_a_file_of_unknown_length_and_checksum_is_refused(server, target):
    server.sized, server.breaks_after = "", [100_000]
    with pytest.raises(DownloadError, match="does not report the length of the file, and its checksum is unknown"):
        fetch(server, target, checksum=None)
    assert not target.exists()


@pytest.mark.parametrize("sized", [True, False])
def test_half_a_file_without_a_checksum_is_taken_up_again(server, target, sized):
    server.sized, server.breaks_after = sized, [100_000]
    assert fetch(server, target, checksum=None).read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "1e9", "٣"])
def test_an_odd_length_tells_nothing(server, target, length):
    server.sized = length
    with pytest.raises(DownloadError) as error:
        fetch(server, target, checksum=None)
    assert "\n" not in str(error.value)
    assert not target.exists()


@pytest.mark.parametrize("sized", [True, False])
def test_a_file_that_is_no_model_by_its_size_is_not_fetched(server, target, monkeypatch, sized):
    monkeypatch.setattr("napari_seg_trainer.library.download.MOST_BYTES", 200_000)
    server.sized = sized
    with pytest.raises(DownloadError, match="is larger than"):
        fetch(server, target)
    assert not target.exists()
    assert sized or not target.with_name("model.zip.part").exists()


def test_a_server_that_is_never_done_is_given_up(server, target, monkeypatch):
    monkeypatch.setattr("napari_seg_trainer.library.download.MOST_SECONDS", 0.1)
    server.pause = 0.02
    with pytest.raises(DownloadError, match=r"has sent [\d,]+ bytes in .* the download continues where it stopped"):
        fetch(server, target)
    monkeypatch.undo()
    server.pause = 0
    assert fetch(server, target).read_bytes() == CONTENT
    assert server.requests[-1][1] is not None  # from where it was


def test_a_loop_of_redirects_is_one_line(server, target):
    server.moved_to = f"{server.url}/moved"
    with pytest.raises(DownloadError, match="answers 302 ") as error:
        download(f"{server.url}/moved", target, checksum=None, timeout=5)
    assert "\n" not in str(error.value)
