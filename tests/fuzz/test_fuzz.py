"""The targets of the long search, on its seeds and on some hundred changes of them."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import mutations
import seeds
import targets

# of a module of Python's that reads the texts in pickles
pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
CASES = [(target, name) for target, contents in seeds.SEEDS.items() for name in contents]


@pytest.mark.parametrize(("target", "name"), CASES, ids=[": ".join(case) for case in CASES])
def test_a_seed_finds_nothing(tmp_path, target, name):
    targets.run(target, seeds.SEEDS[target][name], tmp_path)


@pytest.mark.parametrize(("target", "rounds"), [("import", 500), ("sidecar", 1000), ("seg-npy", 1000)])
def test_changes_of_the_seeds_find_nothing(tmp_path, target, rounds):
    rng, known = random.Random(0), list(seeds.SEEDS[target].values())
    for number in range(rounds):
        content = rng.choice(known)
        for _ in range(rng.choice((1, 1, 2, 5))):
            content = mutations.mutated(content, rng)
        try:
            targets.run(target, content, tmp_path)
        except BaseException as error:
            raise AssertionError(f"round {number}: {content!r}") from error


def test_good_seeds_are_accepted(tmp_path):
    for name in ("own", "stardist", "stardist, compressed", "celldetective", "cellpose", "cellpose, old"):
        targets.run("import", seeds.SEEDS["import"][name], tmp_path)
        assert len(list((tmp_path / "home" / "models").iterdir())) == 2, name


def harm(folder):
    (folder / targets.MARKER).mkdir()


def overwrite(folder):
    (folder / "secret.txt").write_bytes(b"")


def litter(folder):
    (folder / "home" / "models" / ".importing").mkdir(parents=True)


def defect(folder):
    raise ValueError("a defect")


@pytest.mark.parametrize("harm", [harm, overwrite, litter, defect])
def test_harm_would_be_noticed(tmp_path, monkeypatch, harm):
    def import_model(path, library):
        harm(tmp_path)
        raise targets.SegTrainerError("refused")

    monkeypatch.setattr(targets, "import_model", import_model)
    with pytest.raises((targets.Finding, ValueError)):
        targets.run("import", b"", tmp_path)
