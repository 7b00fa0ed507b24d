"""Search for bytes that bring about what they should not, guided by the code that they reach; Linux only.

    python tests/fuzz/fuzz.py TARGET [ARGUMENTS OF LIBFUZZER] [CORPUS]

TARGET is import, sidecar or seg-npy. CORPUS is a folder for what was interesting, which begins with the seeds.
"""

import os
import random
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

import atheris

sys.path.insert(0, str(Path(__file__).parent))
with atheris.instrument_imports(include=["napari_seg_trainer", "zipfile", "pickletools", "json"]):
    from mutations import mutated
    from seeds import SEEDS
    from targets import TARGETS, run

MEMORY = Path("/dev/shm")


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] not in TARGETS:
        sys.exit(f"Give one of {', '.join(TARGETS)}.")
    name, rest = arguments[0], arguments[1:]
    folder = Path(mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
    if os.fork():  # libFuzzer ends its process by itself, without a chance to tidy up
        status = os.waitstatus_to_exitcode(os.wait()[1])
        shutil.rmtree(folder)
        sys.exit(status)
    given = [Path(word) for word in rest if not word.startswith("-")]
    corpus = given[0] if given else folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(SEEDS[name].values()):
        (corpus / f"seed-{number}").write_bytes(content)
    words = [sys.argv[0], *rest, *([] if given else [str(corpus)])]
    atheris.Setup(words, lambda content: run(name, content, folder / "disk"), custom_mutator=_mutator)
    atheris.Fuzz()


def _mutator(content: bytes, limit: int, seed: int) -> bytes:
    rng = random.Random(seed)
    if rng.random() < 0.4:
        return bytes(atheris.Mutate(content, limit))
    return mutated(bytes(content), rng)[:limit]


if __name__ == "__main__":
    main(sys.argv[1:])
