import sys
import textwrap

import pytest

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.engines.registry import engine_spec, engine_specs, load_engine, missing, parse_parameters
from napari_seg_trainer.engines.stardist.spec import SPEC
from napari_seg_trainer.errors import EngineError, JobError
from napari_seg_trainer.schema.job import Hyperparameters


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of one module with one entry point."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(module, code, entry):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
        (metadata / "entry_points.txt").write_text(f"[napari_seg_trainer.engines]\n{entry}\n", encoding="utf-8")

    return make


def spec(**changes):
    values = {
        "id": "mine",
        "title": "Mine",
        "good_for": "Nothing.",
        "parameters": Hyperparameters,
        "channels": (1, 1),
        "location": "collections:OrderedDict",
    }
    return EngineSpec(**values | changes)


def one_line(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_the_built_in_engines_are_there():
    assert engine_specs()["stardist"] is SPEC


def test_what_is_missing_is_named_and_nothing_is_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    assert missing(spec(requires=("this", "unheard_of", "unheard_of.part", "json"))) == (
        "unheard_of",
        "unheard_of.part",
    )
    assert missing(spec()) == ()
    assert "this" not in sys.modules


def test_an_unknown_engine_is_told_which_there_are():
    with pytest.raises(EngineError, match=r"no engine 'startdist'.*stardist") as caught:
        engine_spec("startdist")
    one_line(caught)


def test_a_package_adds_an_engine(install):
    code = """
        from napari_seg_trainer.engines.protocol import EngineSpec
        from napari_seg_trainer.schema.job import Hyperparameters

        SPEC = EngineSpec("wavelet", "Wavelet", "Dots.", Hyperparameters, (1, 1), "wavelet_added:Engine")
    """
    install("wavelet_added", code, "wavelet = wavelet_added:SPEC")
    assert engine_spec("wavelet").title == "Wavelet"
    assert "stardist" in engine_specs()


@pytest.mark.parametrize(
    ("module", "code", "place"),
    [
        ("broken_import", "import a_package_that_is_not_there", "broken_import:SPEC"),
        ("broken_name", "", "broken_name:SPEC"),
        ("broken_module", "", "no_such_module:SPEC"),
        ("broken_type", "SPEC = 'StarDist'", "broken_type:SPEC"),
        ("broken_rudely", "raise RuntimeError('not today')", "broken_rudely:SPEC"),
        ("broken_twin", "from napari_seg_trainer.engines.stardist.spec import SPEC", "broken_twin:SPEC"),
    ],
)
def test_a_broken_package_is_named_and_stops_no_other(install, module, code, place):
    install(module, code, f"broken = {place}")
    with pytest.raises(EngineError, match="'broken'") as caught:
        engine_spec("broken")
    assert place in one_line(caught)
    assert engine_spec("stardist").title == "StarDist"


@pytest.mark.parametrize(
    "changes",
    [
        {"location": "no_such_module:Engine"},
        {"location": "collections:NoSuchEngine"},
        {"location": ""},
        {"requires": ("no_such_package.part",)},
    ],
)
def test_an_engine_that_cannot_be_loaded_is_one_line(changes):
    with pytest.raises(EngineError) as caught:
        load_engine(spec(**changes))
    one_line(caught)


def test_what_is_missing_is_told_with_the_command_that_installs_it():
    missing = spec(requires=("numpy", "no_such_framework", "nor_this_one"), install="python -m pip install mine")
    with pytest.raises(EngineError) as caught:
        load_engine(missing)
    text = one_line(caught)
    assert "no_such_framework and nor_this_one" in text
    assert "numpy" not in text
    assert text.endswith("Run: python -m pip install mine")


def test_an_engine_is_made_anew_each_time():
    first, second = load_engine(spec()), load_engine(spec())
    assert type(first).__name__ == "OrderedDict"
    assert first is not second


def test_parameters_are_the_engines_own():
    parameters = parse_parameters(SPEC, {"epochs": 3, "rays": 64, "depth": None})
    assert type(parameters) is SPEC.parameters
    assert (parameters.epochs, parameters.rays, parameters.batch_size) == (3, 64, 8)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"epoch": 3}, ["epoch"]),
        ({"epochs": 0}, ["epochs", "0"]),
        ({"epochs": "many"}, ["epochs", "'many'"]),
        ({"rays": 2}, ["rays", "8", "2"]),
        ({"grid": 3}, ["grid", "3"]),
        ({"learning_rate": -0.1}, ["learning_rate", "-0.1"]),
        ({"learning_rate": float("nan")}, ["learning_rate"]),
        ({"augmentation": 0.5}, ["augmentation", "1", "0.5"]),
        ({"epochs": 0, "batch_size": 0, "colour": 1}, ["epochs", "batch_size", "colour"]),
        ({"rays": [1]}, ["rays"]),
    ],
)
def test_wrong_parameters_are_named_in_one_line(values, named):
    with pytest.raises(JobError) as caught:
        parse_parameters(SPEC, values)
    text = one_line(caught)
    assert text.startswith("StarDist: ")
    assert [word for word in named if word not in text] == []


def test_a_misspelt_parameter_is_told_which_there_are():
    with pytest.raises(JobError, match=r"epoch: .* not permitted\. Its parameters: epochs, .*rays") as caught:
        parse_parameters(SPEC, {"epoch": 3})
    one_line(caught)
