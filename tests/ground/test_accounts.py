"""The machine's names of accounts and groups."""

import os
import pwd

from oberonc import accounts

#: A uid and a gid that no machine has.
NOBODYS = 4_000_000_000


def test_an_account_is_called_what_the_machine_calls_it() -> None:
    known = pwd.getpwuid(os.geteuid()).pw_name

    assert accounts.name(os.geteuid()) == known
    assert accounts.person(os.geteuid()) == known


def test_an_account_without_a_name_is_told_by_its_number() -> None:
    assert accounts.name(NOBODYS) is None
    assert accounts.person(NOBODYS) == f"uid {NOBODYS}"
    assert accounts.group_name(NOBODYS) == str(NOBODYS)


def test_no_more_names_are_kept_than_a_stranger_may_cost() -> None:
    for uid in range(NOBODYS, NOBODYS + 3000):
        accounts.name(uid)

    assert len(accounts._names) <= 1024
