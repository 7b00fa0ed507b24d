"""Bad inputs in the data check and in a training: one line that names the file and the way out."""

from bad_inputs.asking import check_line
from bad_inputs.case import FOLDER, SPOILT_STEM
from bad_inputs.table import BY_NAME, CASES


def test_the_table_is_large_and_its_names_are_unique():
    assert len(CASES) >= 80
    assert len(BY_NAME) == len(CASES)


def test_usable_cases_say_why_and_what_is_found():
    assert all(case.found for case in CASES if case.usable)


def test_check_finds_it_and_training_refuses_it(ask, case):
    told = ask("check_and_train", case)
    expect_findings(told, case)
    if case.usable:
        assert (told["ended"], told["message"], told["library"]) == ("finished", "", ["nuclei"])
        return
    assert told["ended"] == "failed"
    check_line(told["message"], case.words)
    assert FOLDER in told["message"]
    assert told["library"] == []


def expect_findings(told, case):
    assert told["errors"] == ""
    for finding in told["findings"]:
        check_line(finding["message"])
    errors = [finding for finding in told["findings"] if finding["severity"] == "error"]
    assert bool(errors) == (not case.usable)
    assert told["status"] == bool(errors)
    if "table" in told:
        assert (told["status of the table"], told["errors of the table"]) == (told["status"], "")
        assert told["table"].isprintable() or set("\n") == {sign for sign in told["table"] if not sign.isprintable()}
    if case.found:
        assert case.found in {finding["code"] for finding in told["findings"]}
    if errors and case.words.startswith(SPOILT_STEM):
        assert any(SPOILT_STEM in f"{finding['file']} {finding['message']}" for finding in errors)
