"""What a push asks of the issues, as a pure function."""

from typing import Any

import pytest

from oberonc.issues.plan import Plan, describe, make_plan, note
from oberonc.issues.settings import make_rules
from oberonc.testing.world import commit, payload


def plan(pushed: dict[str, Any], **settings: Any) -> Plan:
    """The plan under the broker's default settings, but for *settings*."""
    from brokers.issues import Issues
    from oberonc.broker.contract import checked_settings

    return make_plan(
        pushed, make_rules(checked_settings(Issues.Settings, settings), pushed)
    )


def asked(made: Plan) -> list[tuple[str, str]]:
    return [(task.action, task.issue.shown) for task in made.tasks]


def test_the_verbs_of_the_first_page() -> None:
    made = plan(
        payload(commit("great, all done, fixes #42\n\nneeds more work, references #37"))
    )
    assert asked(made) == [("close", "#42"), ("reference", "#37")]
    assert made.notes == []


def test_only_published_commits_act() -> None:
    pushed = payload(commit("fixes #1"), commit("fixes #2", 2), published=[])
    assert plan(pushed) == Plan(
        [], ["#1 and #2 are named, and nothing is done: not on a publish ref"], []
    )
    made = plan(pushed, other_refs="reference")
    assert asked(made) == [("reference", "#1"), ("reference", "#2")]
    assert made.tasks[0].why == "not on a publish ref"


def test_merged_commits_act_as_new_ones_do_and_come_first() -> None:
    merged = commit("fixes #2", 2)
    pushed = payload(commit("fixes #1"), merged=[merged])
    pushed["published"].append(merged["raw_node"])
    assert asked(plan(pushed)) == [("close", "#2"), ("close", "#1")]


def test_close_and_reference_of_one_change_are_one_close() -> None:
    assert asked(plan(payload(commit("refs #1 and fixes #1")))) == [("close", "#1")]
    cherry = commit("fixes #1", raw_node="f" * 40, node="f" * 12)
    assert asked(plan(payload(commit("fixes #1"), cherry))) == [("close", "#1")]
    assert asked(plan(payload(commit("fixes #1"), commit("refs #1", 2)))) == [
        ("close", "#1"),
        ("reference", "#1"),
    ]


def test_times_of_one_commit_add_up_and_a_cherry_pick_adds_none() -> None:
    text = "refs #1 @1h, and again refs #1 @30m"
    cherry = commit(text, raw_node="f" * 40, node="f" * 12)
    assert [task.seconds for task in plan(payload(commit(text), cherry)).tasks] == [
        5400
    ]


@pytest.mark.parametrize(
    "text",
    ["does not fix #4", 'Revert "fixes #4"', "partially fixes #4", "before fixing #4"],
)
def test_what_keeps_a_close_back_is_told(text: str) -> None:
    (task,) = plan(payload(commit(text))).tasks
    assert task.action == "reference"
    assert task.why


def test_a_plain_reference_has_nothing_to_explain() -> None:
    assert plan(payload(commit("see #4"))).tasks[0].why == ""


def test_a_mention_is_nothing_unless_wanted() -> None:
    assert asked(plan(payload(commit("subject (#4)")))) == []
    assert asked(plan(payload(commit("subject (#4)")), mentions="comment")) == [
        ("reference", "#4")
    ]


def test_the_subject_of_a_merge_is_dead_and_its_body_lives() -> None:
    merge = commit(
        "Merge branch 'fixes #7' of x\n\nfixes #8", parents=["1" * 12, "2" * 12]
    )
    assert asked(plan(payload(merge))) == [("close", "#8")]


MERGE_TITLES = {
    "Fix #1 by trusting it (#9)": [("close", "#1")],
    "Merge: fix crash (fixes #3)": [("close", "#3")],
    "Merge branch 'x' closes #908": [("close", "#908")],
    "Merge pull request #7 from a/b\n\nFix #8": [("close", "#8")],
    "Merge pull request #7 from a/fix-#8": [],
    "Merge branch 'fixes #7'": [],
    "Merged PR 7: fixes #8": [("close", "#8")],
}


@pytest.mark.parametrize(("title", "expected"), MERGE_TITLES.items())
def test_a_merges_own_title_counts_as_that_of_any_commit(
    title: str, expected: list[tuple[str, str]]
) -> None:
    assert asked(plan(payload(commit(title, parents=["1" * 12, "2" * 12])))) == expected
    assert asked(plan(payload(commit(title)))) == expected


def pushed_fix(*later: str) -> dict[str, Any]:
    """A push of a fix of issue 1, and of what came after it; `{0}` stands for the id of
    the first commit, and so on.
    """
    commits: list[dict[str, Any]] = []
    for number, text in enumerate(("Mend the window (fixes #1)", *later), 1):
        commits.append(
            commit(text.format(*(each["raw_node"] for each in commits)), number)
        )
    return payload(*commits)


REVERT = 'Revert "Mend the window (fixes #1)"'


@pytest.mark.parametrize(
    "later",
    [
        (f"{REVERT}\n\nThis reverts commit {{0}}.",),
        (REVERT,),
        ("Take the window out again\n\nThis reverts commit {0}.",),
        ("An other change", f"{REVERT}\n\nThis reverts commit {{0}}."),
        (REVERT, 'Reapply "Mend the window (fixes #1)"', REVERT),
        ("refs #1", REVERT),
    ],
)
def test_a_fix_and_its_revert_in_one_push_leave_the_issue_open(
    later: tuple[str, ...],
) -> None:
    tasks = [
        task for task in plan(pushed_fix(*later)).tasks if task.issue.number == "1"
    ]
    assert {task.action for task in tasks} == {"reference"}
    assert "undoes it" in tasks[0].why


@pytest.mark.parametrize(
    "later",
    [
        (REVERT, f'Revert "{REVERT[8:-1]}"', "fixes #1"),
        (
            f"{REVERT}\n\nThis reverts commit {{0}}.",
            'Revert "x"\n\nThis reverts commit {1}.',
        ),
        (REVERT, 'Reapply "Mend the window (fixes #1)"'),
        ('Revert "Mend the door (fixes #2)"',),
        ("This reverts commit 1234567.",),
        ("This reverts nothing",),
    ],
)
def test_what_reverts_something_else_leaves_a_fix_alone(later: tuple[str, ...]) -> None:
    assert ("close", "#1") in asked(plan(pushed_fix(*later)))


def test_a_revert_that_is_not_published_undoes_nothing() -> None:
    pushed = pushed_fix(REVERT)
    pushed["published"] = pushed["published"][:1]
    assert ("close", "#1") in asked(plan(pushed))


def test_only_projects_the_service_is_bound_to_count() -> None:
    pushed = payload(commit("fixes #1, octo/hello#2, other/x#3, friend/y#4"))
    made = plan(pushed, projects=["friend/y"])
    assert asked(made) == [("close", "#1"), ("close", "#2"), ("close", "friend/y#4")]
    assert made.notes == ["other/x#3 is not of a project this service is bound to"]
    assert [task.issue.project for task in plan(pushed, project="main/z").tasks] == [
        "main/z",
        "main/z",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "> fixes #4",
            "#4 is named, and nothing is done: 'fixes #4' is dead: a quoted line",
        ),
        (
            "so `fixes #4` it is",
            "#4 is named, and nothing is done: 'fixes #4' is dead: code",
        ),
        (
            "```\nclose #4\n```",
            "#4 is named, and nothing is done: 'close #4' is dead: a code block",
        ),
        (
            "<!-- closes #4 -->",
            "#4 is named, and nothing is done: 'closes #4' is dead: an HTML comment",
        ),
        (
            "fixes PR #4",
            "#4 is named, and nothing is done: 'pr' makes it something else than an issue",
        ),
    ],
)
def test_who_asked_in_words_that_are_not_read_is_told_why(text: str, told: str) -> None:
    assert plan(payload(commit(text))) == Plan([], [told], [])


@pytest.mark.parametrize(
    "text",
    [
        "subject (#4)",
        "`#4`",
        "> see #4",
        "Merge pull request #4 from a/b",
        "PR #4",
        "a colour #123456",
    ],
)
def test_what_asks_for_nothing_is_a_remark_for_the_log(text: str) -> None:
    made = plan(payload(commit(text)))
    assert (made.tasks, made.notes) == ([], [])
    assert len(made.remarks) == 1
    assert "is named, and nothing is done: " in made.remarks[0]


def test_the_subject_of_a_merge_that_names_an_issue_is_told() -> None:
    made = plan(
        payload(commit("Merge branch 'fixes #7' of x", parents=["1" * 12, "2" * 12]))
    )
    assert made == Plan(
        [],
        ["#7 is named, and nothing is done: it stands in the subject of a merge"],
        [],
    )


def test_an_issue_that_something_is_done_about_needs_no_excuse() -> None:
    assert plan(payload(commit("fixes #4\n\n> fixes #4\n\nand `#4` (#4)")))[1:3] == (
        [],
        [],
    )


def test_a_plain_commit_says_that_no_issue_is_named_and_only_the_log_has_it() -> None:
    made = plan(payload(commit("tidy up")))
    assert made == Plan([], [], [])
    assert describe(made) == ["no issue is named"]
    assert note(made.notes, made.remarks) == "nothing: no issue is named"
    assert note(["closed #1"], []) == "closed #1"
    assert note(["closed #1"], ["#2 ..."]) == "closed #1; nothing: #2 ..."


def test_reasons_and_names_are_few_whatever_a_push_holds() -> None:
    many = [
        commit(f"`fixes #{n}` in `{'x' * (n % 9)} fixes #9{n}`", n)
        for n in range(1, 400)
    ]
    made = plan(payload(*many, published=[]))
    assert made.tasks == []
    assert len(made.notes) <= 7
    assert all(len(text) < 300 for text in made.notes)


def test_a_cut_push_is_told_of() -> None:
    assert plan(payload(commit("tidy up"), truncated=True)).remarks == [
        "the push was larger than the limits and was cut"
    ]


def test_an_alias_names_a_project() -> None:
    made = plan(
        payload(commit("fixes web#1")),
        projects=["acme/website"],
        aliases={"web": "acme/website"},
    )
    assert [task.issue.project for task in made.tasks] == ["acme/website"]


def test_a_fork_changes_nothing_of_its_original() -> None:
    pushed = payload(
        commit("fixes #1"), repository={"full_name": "me/hello", "fork": True}
    )
    (task,) = plan(pushed, project="octo/hello").tasks
    assert (task.action, task.why) == (
        "reference",
        "a fork does not change the issues of its original",
    )
    assert asked(plan(pushed)) == [("close", "#1")]


def first_push(count: int, **more: Any) -> dict[str, Any]:
    pushed = payload(
        *(commit(f"fixes #{number}", number) for number in range(1, count + 1))
    )
    pushed["updates"][0] |= {"created": True, **more}
    return pushed


def test_an_import_acts_on_nothing_and_says_so() -> None:
    assert len(plan(first_push(20)).tasks) == 20
    made = plan(first_push(21))
    assert made.tasks == []
    assert made.notes[0].startswith(
        "#1, #2, #3, #4, #5, #6 and 15 more are named, and nothing is done: the first push"
    )
    assert (
        "the first push of main with 21 commits is an import and acts on nothing"
        in made.notes[0]
    )
    assert len(plan(first_push(21), import_above=21).tasks) == 21


def test_a_new_branch_beside_one_that_was_there_is_no_import() -> None:
    pushed = first_push(21)
    pushed["updates"].append(
        pushed["updates"][0] | {"created": False, "name": "release"}
    )
    assert len(plan(pushed).tasks) == 21
    assert len(plan(first_push(21, publish=False)).tasks) == 21
    assert len(plan(first_push(21, first=False)).tasks) == 21
    assert plan(first_push(21, first=True)).tasks == []


def test_a_range_sent_by_hand_does_what_was_held_back() -> None:
    pushed = first_push(30) | {"updates": []}
    assert len(plan(pushed, max_actions=10).tasks) == 30


def test_a_flood_acts_on_none_and_says_so() -> None:
    pushed = payload(*(commit(f"refs #{number}", number) for number in range(1, 12)))
    made = plan(pushed, max_actions=10)
    assert made.tasks == []
    assert made.notes[0].startswith(
        "#1, #2, #3, #4, #5, #6 and 5 more are named, and nothing is done: 11 actions"
    )
    assert "11 actions are more than max_actions = 10" in made.notes[0]


def test_a_hundred_references_of_a_message_count() -> None:
    text = "refs " + ", ".join(f"#{number}" for number in range(1, 151))
    assert len(plan(payload(commit(text))).tasks) == 100


def test_a_reference_where_the_message_was_cut_does_not_count() -> None:
    text = "x" * 2000 + "\nfixes #12"
    assert asked(plan(payload(commit(text)))) == [("close", "#12")]
    made = plan(payload(commit(text, truncated=True)))
    assert made.tasks == []
    assert "may be cut too" in made.notes[0]


def test_keys_and_numbers_of_a_keyed_tracker() -> None:
    jira = {"tracker": "jira", "project": "PROJ", "projects": ["OPS"]}
    made = plan(
        payload(commit("fixes PROJ-1, OPS-2 and #3, refs UTF-8, NOPE-4")), **jira
    )
    assert [task.issue for task in made.tasks] == [
        ("PROJ", "PROJ-1", "PROJ-1"),
        ("OPS", "OPS-2", "OPS-2"),
        ("PROJ", "PROJ-3", "PROJ-3"),
    ]


def test_the_project_of_a_keyed_tracker_needs_no_second_setting() -> None:
    for words in ({}, {"keys": ["OPS"]}, {"keys": ["...", "OPS"]}):
        made = plan(
            payload(commit("fixes #PROJ-1 and PROJ-2")),
            tracker="youtrack",
            project="PROJ",
            words=words,
        )
        assert asked(made) == [("close", "PROJ-1"), ("close", "PROJ-2")]


def test_numbers_of_a_tracker_without_projects() -> None:
    made = plan(
        payload(commit("fixes #1, octo/hello#2 and other/x#3")), tracker="redmine"
    )
    assert [task.issue for task in made.tasks] == [("", "1", "#1"), ("", "2", "#2")]


def test_the_plan_reads_as_a_sentence() -> None:
    made = plan(
        payload(
            commit("fixes #1 @1h\n\ndoes not fix #2\n\nwontfix #3\n\nsee other/x#9")
        )
    )
    node = made.tasks[0].commit["node"]
    first, second, third, fourth = describe(made)
    assert first == f"close #1, log 60 minutes for {node}"
    assert second.startswith(f"comment on #2 for {node} (state left as it is: ")
    assert third == f"close as wontfix #3 for {node}"
    assert fourth == "other/x#9 is not of a project this service is bound to"


FEEDBACK = {"states": {"feedback": "Feedback", "later": "Deferred"}}


def test_a_word_for_a_status_moves_where_a_close_would_close() -> None:
    made = plan(payload(commit("feedback #1")), tracker="redmine", words=FEEDBACK)
    (task,) = made.tasks
    assert (task.action, task.target, task.why) == ("move", "Feedback", "")
    assert describe(made) == [f"move #1 to Feedback for {task.commit['node']}"]
    for text in ("does not feedback #1", "TODO: feedback #1", "feedback #1, later #1"):
        (task,) = plan(payload(commit(text)), tracker="redmine", words=FEEDBACK).tasks
        assert (task.action, task.target) == ("reference", "")


def test_a_tracker_without_statuses_says_so_in_the_plan() -> None:
    (line,) = describe(plan(payload(commit("feedback #1")), words=FEEDBACK))
    assert line.endswith("(state left as it is: this tracker has no status Feedback)")


def test_a_status_is_asked_for_by_published_commits_of_the_project_itself_only() -> (
    None
):
    redmine = {"tracker": "redmine", "words": FEEDBACK}
    assert plan(payload(commit("feedback #1"), published=[]), **redmine).tasks == []
    fork = payload(
        commit("feedback #1"), repository={"full_name": "me/hello", "fork": True}
    )
    (task,) = plan(fork, project="octo/hello", **redmine).tasks
    assert (task.action, task.target) == ("reference", "")
    imported = payload(
        *(commit(f"feedback #{number}", number) for number in range(1, 30))
    )
    imported["updates"][0] |= {"created": True}
    assert plan(imported, **redmine).tasks == []


def test_a_status_asked_for_again_after_a_rewrite_is_not_asked_for_twice() -> None:
    old = commit("Wait\n\nfeedback #1", 1)
    for text, expected in (
        ("Wait\n\nfeedback #1 please", []),
        ("Wait\n\nlater #1", [("move", "#1")]),
    ):
        pushed = payload(commit(text, 2), dropped=[old], dropped_total=1)
        pushed["updates"][0] |= {"forced": True}
        assert asked(plan(pushed, tracker="redmine", words=FEEDBACK)) == expected


def test_a_status_whose_commit_the_push_undoes_is_left() -> None:
    first = commit("feedback #1", 1)
    undo = commit(
        f'Revert "feedback #1"\n\nThis reverts commit {first["raw_node"]}.', 2
    )
    made = plan(payload(first, undo), tracker="redmine", words=FEEDBACK)
    assert {(task.action, task.target) for task in made.tasks} == {("reference", "")}


SMART = {
    "tracker": "jira",
    "project": "PROJ",
    "words": {
        "smart": ["assign", "comment", "time"],
        "transitions": ["Start Progress"],
    },
    "authors": {"jane@example.org": "jane-1"},
}


def test_smart_commands_of_one_line_are_one_task() -> None:
    text = "PROJ-1 #time 2h #assign jane-1 #start-progress #comment the window is out"
    (task,) = plan(payload(commit(text)), **SMART).tasks
    assert (task.action, task.target, task.seconds, task.assign) == (
        "move",
        "Start Progress",
        7200,
        "jane-1",
    )
    (line,) = describe(plan(payload(commit(text)), **SMART))
    assert line.startswith(
        "move PROJ-1 to Start Progress, log 120 minutes, assign it to jane-1 for "
    )


def test_nobody_is_assigned_by_what_may_not_change_an_issue() -> None:
    text = "PROJ-1 #assign jane-1"
    topic = plan(payload(commit(text), published=[]), other_refs="reference", **SMART)
    fork = plan(
        payload(commit(text), repository={"full_name": "me/hello", "fork": True}),
        **SMART,
    )
    assert [task.assign for task in (*topic.tasks, *fork.tasks)] == ["", ""]
    old = commit(text, 1)
    again = payload(commit(f"{text} now", 2), dropped=[old], dropped_total=1)
    again["updates"][0] |= {"forced": True}
    assert plan(again, **SMART).tasks == []


def test_who_is_not_in_the_table_of_authors_is_told_and_not_assigned() -> None:
    made = plan(payload(commit("PROJ-1 #assign root")), **SMART)
    assert [task.assign for task in made.tasks] == [""]
    assert made.notes == ["PROJ-1 is assigned to nobody: 'root' is not in `authors`"]
