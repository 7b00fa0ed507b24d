"""Changes of bytes that know a little of what the bytes are, so that they get past the first check."""

import contextlib
import io
import json
import random
import stat
import warnings
import zipfile
from typing import Any

NAMES = (
    *(
        "../evil",
        "/evil",
        "a\\b",
        "C:a",
        "nul",
        "Con.json",
        ".hidden",
        "a/" * 60,
        "a\u202eb",
        "é",
        "e\u0301",
        "",
        "/",
        ".",
    ),
    *("CONFIG.JSON", "config.json", "model_card.json", "nuclei/model_card.json", "config_input.json", "a/data.pkl"),
)
VALUES = (
    *(None, True, 0, -1, 1e308, float("nan"), float("inf"), 10**30),
    *("", "a\nb", "\ud800", "\0", "../x", [], {}, [[]], [1] * 50),
)
BYTES = (
    *(b"\0", b"\xff", b"\x7f", b"\xff\xff\xff\xff", b"PK\x01\x02", b"PK\x05\x06"),
    *(b"\n", b"{", b"[", b"9" * 30, b"..", b"/"),
)
KINDS = (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR)
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return changed bytes: as an archive or as JSON where they are one, else here and there."""
    way = rng.choice((_bytes, _archive, _archive, _json))
    with contextlib.suppress(Exception):  # it is none, or a broken one
        return way(content, rng)
    return _bytes(content, rng)


def _bytes(content: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(content) + 1)
        end = min(len(content), place + rng.choice((0, 1, 1, 4, 30)))
        new = rng.choice((b"", rng.choice(BYTES), rng.randbytes(end - place), content[place:end] * 2))
        content = content[:place] + new + content[end:]
    return content


def _json(content: bytes, rng: random.Random) -> bytes:
    return json.dumps(_changed(json.loads(content), rng)).encode()


def _changed(value: Any, rng: random.Random) -> Any:
    """Return JSON with one value changed, at any depth."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        return value | {rng.choice((key, key, key, "x", "__class__")): _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], _changed(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def _archive(content: bytes, rng: random.Random) -> bytes:
    """Return the archive, packed anew, with one member more, less or changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    if not members or rng.random() < 0.2:
        members.append((rng.choice(NAMES), rng.choice(BYTES)))
    place = rng.randrange(len(members))
    name, inside = members[place]
    if rng.random() < 0.5:
        inside = mutated(inside, rng)
    elif rng.random() < 0.5:
        name = rng.choice((rng.choice(NAMES), f"{name.rpartition('/')[0]}/{rng.choice(NAMES)}", name.upper()))
    elif rng.random() < 0.5:
        members.append((name, inside))
    else:
        del members[place]
        return _packed(members, rng)
    members[place] = name, inside
    return _packed(members, rng)


def _packed(members: list[tuple[str, bytes]], rng: random.Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that comes twice
        for name, content in members:
            member = zipfile.ZipInfo(name)
            if rng.random() < 0.2:
                member.external_attr = rng.choice(KINDS) << 16
                member.compress_type = rng.choice(COMPRESSIONS)
            archive.writestr(member, content)
    return file.getvalue()
