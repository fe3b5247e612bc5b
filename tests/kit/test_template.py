"""The setting `format`: the administrator's text with values of the push."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc.kit.markup import MARKUPS
from oberonc.kit.template import NAMES, Template
from tests.support.admin import sample

PAYLOAD = sample()
COMMIT = PAYLOAD["commits"][-1]


def test_the_form_of_2009_gives_a_line_for_a_commit() -> None:
    form = Template("${repository.name} - ${commit.author} - ${commit.message}")
    assert form.per_commit
    assert form.fill(PAYLOAD, COMMIT) == (
        "shop - Ann Example - great, all done, fixes #42"
    )


def test_a_text_without_a_commit_speaks_of_the_push() -> None:
    form = Template("${user} pushed to ${repository.full_name}")
    assert not form.per_commit
    assert form.fill(PAYLOAD) == "ann pushed to web/shop"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("${commit.raw_node|short}", "9a8b7c6d"),
        ("${commit.message|first|cut:6}", "great…"),
        ("costs $5 and $$6", "costs $5 and $6"),
        ("{${commit.branch}}", "{main}"),
        ("${ commit.author | cut:3 }", "An…"),
    ],
)
def test_filters_and_dollars(form: str, text: str) -> None:
    assert Template(form).fill(PAYLOAD, COMMIT) == text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("${commit.autor}", "did you mean 'commit.author'?"),
        ("${commit.message|frist}", "is no filter"),
        ("${commit.message|cut:0}", "is no filter"),
        ("${}", "there is no ${}"),
        ("${service.token}", "there is no"),
        ("${commit.__class__}", "there is no"),
    ],
)
def test_what_there_is_not_is_refused_when_it_is_loaded(form: str, said: str) -> None:
    with pytest.raises(ValueError, match="format: ") as caught:
        Template(form)
    assert said in str(caught.value)


@given(st.text(), st.sampled_from(NAMES))
def test_values_are_never_read_as_places(message: str, name: str) -> None:
    commit = {**COMMIT, "message": "${user} $$ " + message}
    filled = Template("${commit.message}|${" + name + "}").fill(
        PAYLOAD, commit, MARKUPS["plain"].dead
    )
    assert filled.startswith("${user} $$ ")


def test_a_brace_that_nothing_ends_is_refused() -> None:
    with pytest.raises(ValueError, match="ends"):
        Template("new: ${commit.message")
