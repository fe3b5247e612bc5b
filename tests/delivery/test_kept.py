"""The entry that this process keeps for a push: used as it is, unless somebody else
worked on it meanwhile.
"""

from oberonc.broker.budget import Budget
from oberonc.delivery import kept, spool
from oberonc.payload.filters import Choice
from tests.support.admin import Admin, sample

BOTH = {"one": Choice(sample(), "matches"), "two": Choice(sample(), "matches")}


def test_what_was_just_kept_is_not_read_again(admin: Admin) -> None:
    config, payload = admin.load(), sample()
    own = kept.keep(config.spool, payload, BOTH)
    repository = payload["repository"]["full_name"]
    assert kept.entries(config, repository, Budget(), own) == [own]
    own.begin("one")
    assert kept.entries(config, repository, Budget(), own) == [own]


def test_what_another_process_wrote_meanwhile_counts(admin: Admin) -> None:
    config, payload = admin.load(), sample()
    own = kept.keep(config.spool, payload, BOTH)
    entry = spool.read(own.path)
    entry["services"]["one"] |= {"attempts": 3, "crashes": 1}
    spool.put(config.spool, entry, own.path.name)
    own.end("two")
    repository = payload["repository"]["full_name"]
    [found] = kept.entries(config, repository, Budget(), own)
    assert list(found.services) == ["one"]
    assert (found.services["one"].attempts, found.services["one"].crashes) == (3, 1)
    assert found.choices == BOTH


def test_what_another_process_ended_is_over(admin: Admin) -> None:
    config, payload = admin.load(), sample()
    own = kept.keep(config.spool, payload, BOTH)
    spool.remove(own.path)
    assert not own.is_untouched()
    repository = payload["repository"]["full_name"]
    assert kept.entries(config, repository, Budget(), own) == []
