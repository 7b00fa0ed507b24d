"""What a stranger may send in place of a model: it is refused in one line, nothing runs, nothing stays behind."""

import hashlib
import json
import os
import pickle
import random
import stat
import struct
import unicodedata
import warnings
import zipfile

import pytest

from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.library.archive import export_model, import_model
from napari_seg_trainer.library.library import ModelLibrary

SECRET = b"a secret of the user's"
CARD = "nuclei/model_card.json"
NETWORK = "downsample.down.res_down_0.conv.conv_0.0.weight"


class Touch:
    """Makes the marker where it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class Trap:
    """A user's disk: a library, a secret, and what a stranger has sent."""

    def __init__(self, folder):
        self.folder, self.sent = folder, folder / "sent"
        self.sent.mkdir()
        self.library = ModelLibrary(folder / "home" / "models")
        self.secret, self.marker = folder / "secret.txt", folder / "it_ran"
        self.secret.write_bytes(SECRET)

    def everything(self):
        paths = [path for path in self.folder.rglob("*") if not path.is_relative_to(self.folder / "home")]
        return {path: path.read_bytes() if path.is_file() else None for path in paths}

    def refuses(self, path, words):
        before = self.everything()
        with pytest.raises(SegTrainerError, match=words) as caught:
            import_model(path, self.library)
        assert path.name in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        assert not self.marker.exists()
        assert self.everything() == before
        assert not self.library.folder.exists() or os.listdir(self.library.folder) == []


@pytest.fixture
def trap(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a payload without a path would leave its mark
    return Trap(tmp_path)


@pytest.fixture
def members(tmp_path, make_card, make_finished):
    """The files of a good archive, by name."""
    model = ModelLibrary(tmp_path / "theirs" / "models").register(make_finished("theirs"), make_card())
    with zipfile.ZipFile(export_model(model, tmp_path / "theirs.zip")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that comes twice
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return path


# archives of ours: the card lists all files, and only files that every system can have


def listing(*names):
    """Have the card list files that are not there, or lead elsewhere, with the hash that the secret has."""
    found = hashlib.sha256(SECRET).hexdigest()
    return lambda members: with_card(members, files=dict.fromkeys(names, found))


def with_card(members, **changes):
    return members | {CARD: json.dumps(json.loads(members[CARD]) | changes)}


def with_text(text):
    return lambda members: members | {CARD: text(members[CARD].decode())}


def entry(name, text):
    """Put an entry into the card that JSON's writer would not write."""
    return with_text(lambda card: f'{card.rstrip()[:-1]}, "{name}": {text}}}')


def beside(name):
    return lambda members: members | {name: b"import os; os.mkdir('it_ran')"}


OWN = {
    "a program beside the card": (beside("nuclei/run.sh"), "'nuclei/run.sh', which its model card does not list"),
    "a program outside of the folder": (beside("setup.py"), "'setup.py', which its model card does not list"),
    "a module in a folder": (beside("nuclei/sub/__init__.py"), "does not list"),
    "code that Python compiled": (beside("nuclei/__pycache__/a.pyc"), "does not list"),
    "another file of weights": (beside("nuclei/weights_best2.h5"), "does not list"),
    "what only a package has": (beside("nuclei/test_input.npy"), "does not list"),
    "a program in a package": (
        lambda m: beside("nuclei/rdf.yaml")(beside("nuclei/run.sh")(m)),
        "'nuclei/run.sh', which",
    ),
    "a second card": (beside("model_card.json"), "cannot be used"),
    "a card in a folder": (beside("nuclei/a/model_card.json"), "does not list"),
    "a changed file": (lambda m: m | {"nuclei/weights_best.h5": b"?"}, "was changed"),
    "a missing file": (lambda m: {k: v for k, v in m.items() if "weights" not in k}, "lacks its file"),
    "no list": (lambda m: with_card(m, files={}), "it is empty"),
    "a list of another kind": (lambda m: with_card(m, files=["config.json"]), "cannot be used"),
    "a listed way out": (listing("../../secret.txt"), "outside its folder"),
    "a listed way out in the middle": (listing("a/../../../secret.txt"), "outside its folder"),
    "a listed absolute path": (listing("/etc/passwd"), "outside its folder"),
    "a listed path of Windows": (listing("..\\secret.txt"), "outside its folder"),
    "a listed drive": (listing("C:/secret.txt"), "outside its folder"),
    "a card that lists itself": (listing("model_card.json"), "names a file twice"),
    "a card that lists itself in capitals": (listing("Model_Card.JSON"), "names a file twice"),
    "a listed hidden file": (listing(".bashrc"), "'.bashrc' is not allowed"),
    "a listed hidden folder": (listing("a/.git/hooks/post-checkout"), "is not allowed"),
    "a listed detour": (listing("./config.json"), "is not allowed"),
    "a listed folder": (listing("figures/"), "is not allowed"),
    "a listed nothing": (listing(""), "is not allowed"),
    "a listed device": (listing("nul"), "Windows does not allow"),
    "a listed device with an ending": (listing("figures/Com1.json"), "Windows does not allow"),
    "a listed name with a space behind": (listing("config.json "), "Windows does not allow"),
    "a listed line break": (listing("a\nb"), "invisible characters"),
    "a listed zero byte": (listing("config.json\0.exe"), "invisible characters"),
    "a listed name written backwards": (listing("a\u202egnp.exe"), "invisible characters"),
    "a listed long path": (listing("a/" * 150 + "b"), "longer than 200"),
    "listed capitals": (listing("weights.h5", "Weights.h5"), "names a file twice"),
    "a listed accent in two ways": (listing("é.h5", unicodedata.normalize("NFD", "é.h5")), "names a file twice"),
    "a listed file that is a folder too": (listing("a", "a/b"), "names a file twice"),
    "a name that is a path": (lambda m: with_card(m, name="../../evil"), "cannot be used"),
    "a name that is a device": (lambda m: with_card(m, name="con"), "cannot be used"),
    "a card of a later version": (lambda m: with_card(m, version=2), "cannot be used"),
    "a card with an entry of its own": (entry("__reduce__", '"os.system"'), "cannot be used"),
    "a card that is not JSON": (with_text(lambda card: card[:-5]), "cannot be used"),
    "a card that is nested deeply": (entry("scores", "[" * 100_000), "cannot be used"),
    "a card with an endless number": (entry("pixel_size", "1e999"), "cannot be used"),
    "a card with no number": (entry("object_diameter", "NaN"), "cannot be used"),
    "a card without end": (with_text(lambda card: card + " " * (17 << 20)), "larger than 16 MiB"),
}


@pytest.mark.parametrize(("change", "words"), OWN.values(), ids=OWN)
def test_an_archive_of_ours_with_anything_else_is_refused(trap, members, change, words):
    trap.refuses(write_zip(trap.sent / "model.zip", change(members)), words)


def test_what_systems_leave_behind_is_left_out(trap, members):
    litter = {"__MACOSX/nuclei/._config.json": b"", ".DS_Store": b"", "nuclei/.hidden": b"", "nuclei/.git/x": b""}
    model = import_model(write_zip(trap.sent / "model.zip", members | litter), trap.library)
    found = {f"nuclei/{path.relative_to(model.folder).as_posix()}" for path in model.folder.rglob("*.*")}
    assert found == members.keys() | {"nuclei/config_input.json"}
    assert os.listdir(trap.library.folder) == ["nuclei"]


# archives that no honest program writes


def adding(name, kind=0):
    """Add a member of this name, which would hold what is not listed, or be a link or a device."""
    member = zipfile.ZipInfo(name)
    member.external_attr = (kind | 0o777) << 16
    return lambda path, members: write_zip(path, [*members.items(), (member, SECRET)])


def tampered(change, compression=zipfile.ZIP_DEFLATED):
    return lambda path, members: path.write_bytes(change(write_zip(path, members, compression).read_bytes()))


def replaced(old, new, count=-1):
    """Change bytes of the archive; the same number of them."""
    assert len(old) == len(new)
    return tampered(lambda content: content.replace(old, new, count), zipfile.ZIP_STORED)


def in_directory(place, value):
    """Change a number in the directory at the archive's end, in the entry of the first member."""

    def change(content):
        start = content.index(b"PK\x01\x02") + place
        return content[:start] + value + content[start + len(value) :]

    return tampered(change)


def in_end(place, value):
    """Change a number in the last record of the archive."""

    def change(content):
        start = content.rindex(b"PK\x05\x06") + place
        return content[:start] + value + content[start + len(value) :]

    return tampered(change)


def overlapping(path, members):
    """Let a second entry of the directory have the bytes of the first: each such entry costs 60 bytes."""
    content = write_zip(path, members | {"nuclei/a": b"a" * 200, "nuclei/b": b"b" * 200}).read_bytes()
    start = content.index(b"nuclei/a", content.index(b"PK\x01\x02"))
    second = content.index(b"nuclei/b", start)
    offset = struct.unpack("<I", content[start - 4 : start])[0] + 10
    path.write_bytes(content[: second - 4] + struct.pack("<I", offset) + content[second:])


def far_larger(path, members):
    """Tell of exabytes, in the way of archives over 4 GiB."""
    member = zipfile.ZipInfo("nuclei/weights.h5")
    member.extra = struct.pack("<HHQQ", 1, 16, 1 << 60, 1 << 60)
    write_zip(path, [*members.items(), (member, b"")])
    content = path.read_bytes()
    place = content.rindex(b"PK\x01\x02") + 20
    path.write_bytes(content[:place] + b"\xff" * 8 + content[place + 8 :])


def hidden_name(path, members):
    """Give a member a name that ends, for some programs, at a zero byte."""
    content = write_zip(path, members | {"nuclei/a.json#.exe": b"{}"}).read_bytes()
    path.write_bytes(content.replace(b"nuclei/a.json#.exe", b"nuclei/a.json\0.exe"))


STRUCTURE = {
    "an absolute path": (adding("/tmp/evil.json"), "outside its folder"),
    "a way out": (adding("nuclei/../../evil.json"), "outside its folder"),
    "a way out of Windows": (adding("..\\evil.json"), "outside its folder"),
    "a drive": (adding("C:evil.json"), "outside its folder"),
    "a stream of Windows": (adding("nuclei/config.json:evil"), "outside its folder"),
    "a link": (adding("nuclei/link.json", stat.S_IFLNK), "a link or a special file"),
    "a pipe": (adding("nuclei/pipe.json", stat.S_IFIFO), "a link or a special file"),
    "a disk": (adding("nuclei/disk.json", stat.S_IFBLK), "a link or a special file"),
    "a hidden link": (adding("__MACOSX/link", stat.S_IFLNK), "a link or a special file"),
    "a device": (adding("nuclei/nul"), "Windows does not allow"),
    "a device with an ending": (adding("nuclei/con.json"), "Windows does not allow"),
    "a device in capitals": (adding("nuclei/LPT1.txt"), "Windows does not allow"),
    "a device with a space": (adding("nuclei/aux .json"), "Windows does not allow"),
    "a device with a raised digit": (adding("nuclei/COM¹.json"), "Windows does not allow"),
    "a folder that is a device": (adding("nuclei/prn/a.json"), "Windows does not allow"),
    "a dot behind": (adding("nuclei/config.json."), "Windows does not allow"),
    "the same name twice": (adding(CARD), "names a file twice"),
    "capitals only differ": (adding("nuclei/CONFIG.json"), "names a file twice"),
    "a file that is a folder too": (adding("nuclei/config.json/a.json"), "names a file twice"),
    "a line break": (adding("nuclei/a\nb.json"), "invisible characters"),
    "a colour of the terminal": (adding("nuclei/\x1b[31m.json"), "invisible characters"),
    "letters without width": (adding("nuclei/config\u200b.json"), "invisible characters"),
    "a name written backwards": (adding("nuclei/a\u202egnp.json"), "invisible characters"),
    "a name with a zero byte": (hidden_name, "invisible characters"),
    "a file without a name": (adding(""), "without a name"),
    "a long name": (adding(f"nuclei/{'a' * 250}.json"), "longer than 200"),
    "a deep folder": (adding("a/" * 5000 + "b.json"), "longer than 200"),
    "files that overlap": (overlapping, "overlap"),
    "too many files": (lambda p, m: write_zip(p, m | {f"{i}.json": "" for i in range(1001)}), "files; 1,000 is"),
    "zeros without end": (lambda p, m: write_zip(p, m | {"a.h5": bytes(9 << 20)}, zipfile.ZIP_DEFLATED), "100 times"),
    "a size that is no size": (in_directory(24, b"\xfe\xff\xff\xff"), "2 GiB is the limit"),
    "a size of exabytes": (far_larger, "GiB is the limit"),
    "a size too small": (in_directory(24, b"\x05\0\0\0"), "not a readable zip"),
    "a wrong checksum": (in_directory(16, b"abcd"), "not a readable zip"),
    "a password": (in_directory(8, b"\x01"), "not a readable zip"),
    "an unknown compression": (in_directory(10, b"\x63\0"), "not a readable zip"),
    "two names for one file": (replaced(CARD.encode(), b"nuclei/model_cord.json", 1), "not a readable zip"),
    "damaged bytes": (tampered(lambda content: content[:60] + b"\xff" * 20 + content[80:]), "not a readable zip"),
    "a cut": (tampered(lambda content: content[:-30]), "not a readable zip"),
    "a directory elsewhere": (in_end(16, b"\xff\xff\xff\x7f"), "not a readable zip"),
    "a directory without end": (in_end(12, b"\xff\xff\xff\x7f"), "not a readable zip"),
    "a name in no alphabet": (replaced(b"nuclei/config.json", b"nuclei/\xff\xfenfig.json"), "nuclei"),
    "a pickle": (
        lambda path, members: path.write_bytes(pickle.dumps(Touch(path.parents[1] / "it_ran"))),
        "not a readable",
    ),
}


@pytest.mark.parametrize(("write", "words"), STRUCTURE.values(), ids=STRUCTURE)
def test_an_archive_that_is_a_trap_is_refused(trap, members, write, words):
    write(trap.sent / "model.zip", members)
    trap.refuses(trap.sent / "model.zip", words)


# models of other programs

KERAS_FUNCTION = {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"}
DEEP = "[" * 100_000
FOREIGN = {
    "a function for an activation": ("config.json", {"unet_activation": KERAS_FUNCTION}, "unet_activation"),
    "a function for the last activation": ("config.json", {"unet_last_activation": KERAS_FUNCTION}, "unet_last"),
    "another backbone": ("config.json", {"backbone": "os.system"}, "backbone"),
    "rays without end": ("config.json", {"n_rays": 10**30}, "n_rays"),
    "endless rays": ("config.json", '{"n_rays": Infinity}', "n_rays"),
    "a number of 5,000 digits": ("config.json", f'{{"n_rays": {"9" * 5000}}}', "not JSON"),
    "a network without end": ("config.json", {"unet_n_depth": 10**6}, "unet_n_depth"),
    "features without end": ("config.json", {"unet_n_filter_base": 1 << 40}, "unet_n_filter_base"),
    "a kernel without end": ("config.json", {"unet_kernel_size": [1 << 20, 1 << 20]}, "unet_kernel_size"),
    "a grid without end": ("config.json", {"grid": [1 << 20, 1 << 20]}, "grid"),
    "channels without end": ("config.json", {"n_channel_in": 1 << 40}, "n_channel_in"),
    "a layer's name that is a path": ("config.json", {"unet_prefix": "../../"}, "unet_prefix"),
    "no number": ("config.json", '{"n_rays": 32, "unet_dropout": NaN}', "unet_dropout"),
    "text for numbers": ("config.json", {"unet_kernel_size": "os.system"}, "unet_kernel_size"),
    "a deep configuration": ("config.json", DEEP, "not JSON"),
    "deep thresholds": ("thresholds.json", DEEP, "not JSON"),
    "thresholds that are none": ("thresholds.json", '{"prob": NaN}', "prob"),
    "a configuration that is a pickle": ("config.json", pickle.dumps(Touch("it_ran")), "not JSON"),
    "a configuration of 17 MiB": ("config.json", " " * (17 << 20), "larger than 16 MiB"),
    "another kind of model": ("config_input.json", {"channels": ["a"], "model_type": "os.system"}, "model_type"),
    "an endless pixel": (
        "config_input.json",
        '{"channels": ["a"], "model_type": "cellpose", "spatial_calibration": 1e999}',
        "spatial_calib",
    ),
    "deep channels": ("config_input.json", DEEP, "not JSON"),
    "a threshold that is none": (
        "config_input.json",
        '{"channels": ["a"], "model_type": "cellpose", "flow_threshold": NaN}',
        "flow_threshold",
    ),
}


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folder"])
@pytest.mark.parametrize(("file", "content", "words"), FOREIGN.values(), ids=FOREIGN)
def test_a_model_of_another_program_that_is_a_trap_is_refused(trap, make_stardist, packed, file, content, words):
    folder = make_stardist("plain")
    if isinstance(content, dict):
        known = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
        content = json.dumps(known | content)
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    trap.refuses(write_zip(trap.sent / "plain.zip", files) if packed else folder, words)


WEIGHTS = {
    "no network's names": b"\x80\x02}q\x00.",
    "text of any length": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f" + b"storage",
    "a number of any length": b"\x80\x02\x8b\xff\xff\xff\x7f",
    "a pickle that calls": pickle.dumps({"storage": Touch("it_ran")}),
    "old commands": b"cos\nmkdir\n(S'it_ran'\ntR.",
}


@pytest.mark.parametrize("content", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("packed", [True, False], ids=["as PyTorch packs it", "plain"])
def test_a_file_that_is_a_trap_in_place_of_weights_is_refused(trap, content, packed):
    path = trap.sent / "CP_cells"
    if packed:
        write_zip(path, {"archive/data.pkl": content})
    else:
        path.write_bytes(content)
    trap.refuses(path, "not a readable zip|holds no network|no model files|not a file of weights")


def test_what_a_file_of_weights_would_run_is_not_run_when_it_is_imported(trap):
    contents = pickle.dumps({NETWORK: "torch._utils", "storage": Touch(trap.marker)})
    model = import_model(write_zip(trap.sent / "CP_cells", {"archive/data.pkl": contents}), trap.library)
    assert model.card.engine == "cellpose"  # its names say so; whoever opens it refuses it
    assert not trap.marker.exists()


# folders


def make_pipe(trap, folder):
    (folder / "weights_best.h5").unlink()
    os.mkfifo(folder / "weights_best.h5")


def link_secret(trap, folder):
    (folder / "weights_best.h5").unlink()
    (folder / "weights_best.h5").symlink_to(trap.secret)


def list_secret(trap, folder):
    card = json.loads((folder / "model_card.json").read_text())
    card["files"]["../../secret.txt"] = hashlib.sha256(SECRET).hexdigest()
    (folder / "model_card.json").write_text(json.dumps(card))


FOLDERS = {
    "a pipe, which would be waited for": (make_pipe, "lacks its file"),
    "a link to a secret": (link_secret, "was changed"),
    "a listed secret": (list_secret, "outside its folder"),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize(("spoil", "words"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_of_ours_that_is_a_trap_is_refused(trap, members, spoil, words):
    with zipfile.ZipFile(write_zip(trap.sent / "model.zip", members)) as archive:
        archive.extractall(trap.sent)
    spoil(trap, trap.sent / "nuclei")
    trap.refuses(trap.sent / "nuclei", words)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_not_waited_for(trap):
    os.mkfifo(trap.sent / "model.zip")
    trap.refuses(trap.sent / "model.zip", "no file or folder")


def test_of_a_folder_of_ours_only_listed_files_are_copied(trap, members):
    with zipfile.ZipFile(write_zip(trap.sent / "model.zip", members)) as archive:
        archive.extractall(trap.sent)
    (trap.sent / "nuclei" / "run.sh").write_text("rm")
    assert "run.sh" not in os.listdir(import_model(trap.sent / "nuclei", trap.library).folder)


def test_there_are_enough_traps():
    assert sum(map(len, (OWN, STRUCTURE, FOREIGN, WEIGHTS, FOLDERS))) >= 100


def test_random_bytes_are_refused(trap):
    for seed in range(50):
        path = trap.sent / f"{seed}.zip"
        path.write_bytes(b"PK\x03\x04" + random.Random(seed).randbytes(200) + b"PK\x05\x06" + bytes(18))
        trap.refuses(path, "zip")
