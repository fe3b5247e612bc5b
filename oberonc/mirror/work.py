"""One turn of one mirror: fetch, and tell of what moved. Who calls it again, and when,
is for the HTTP face or a timer.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from oberonc.config import Config
from oberonc.errors import OberoncError
from oberonc.mirror import bells, mirrors, telling
from oberonc.mirror.bells import Bell
from oberonc.mirror.fetching import USUAL, Bounds, Fetcher, NotFetched
from oberonc.mirror.mirrors import Mirror
from oberonc.mirror.origins import Origin, key
from oberonc.mirror.telling import Teller, Told
from oberonc.source import memory
from oberonc.text import one_line, utc

#: Seconds for which a forge may not show yet what its webhook told of.
LATE: Final = 600.0
#: Seconds after which a push that cannot be fetched is told of as its webhook said it.
GIVEN_UP: Final = 3 * 86_400.0


class Turn(NamedTuple):
    """What came of a turn: what was *told*, what went wrong (*error*, a line), and
    whether bells wait for another turn.
    """

    told: list[Told]
    error: str = ""
    waits: bool = False


class Worker:
    """Takes turns for the mirrors below the folder *state*. *stopped* tells whether to
    end at once.
    """

    def __init__(
        self,
        config: Config,
        state: Path,
        bounds: Bounds = USUAL,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config, self._state = config, state
        self._bounds, self._stopped = bounds, stopped

    def turn(
        self, origin: Origin, repository: str, *, all_moves: bool, patience: float
    ) -> Turn:
        """Fetch *repository* and tell of what its bells say; with *all_moves* of what
        moved without a bell, too. It waits *patience* seconds for another one who
        works on it.
        """
        told: list[Told] = []
        try:
            mirror = mirrors.mirror(self._state, origin, repository)
            with mirrors.held(mirror, patience) as mine:
                if not mine:
                    return Turn(told, "another process fetches it", waits=True)
                rung = bells.of(self._state, key(origin.webhook, repository))
                left = self._work(mirror, origin, rung, told, all_moves)
        except (OberoncError, OSError) as error:
            why = one_line(str(error), 400)
            return Turn(told, why, waits=True)
        return Turn(told, waits=left or len(rung) == bells.TOGETHER)

    def _work(
        self,
        mirror: Mirror,
        origin: Origin,
        rung: list[Bell],
        told: list[Told],
        all_moves: bool,
    ) -> bool:
        """Whether bells are left."""
        teller = Teller(self._config, mirror, origin.default_branch)
        told += teller.resume()
        try:
            self._fetch(mirror, origin, rung)
        except (OberoncError, OSError) as error:
            with suppress(OSError):
                if mirror.exists:
                    mirror.note(error=one_line(str(error), 400))
            self._give_up(mirror, rung, told)
            raise
        for bell in teller.look(rung):
            told.append(telling.as_said(self._config, bell))
            bell.path.unlink()
            rung.remove(bell)
        planned, waiting = teller.bells(rung)
        for each in planned:
            told.append(teller.tell(each.moves, each.bell))
        left = False
        for bell in rung:
            if bell in waiting:
                if time.time() - bell.came < LATE:
                    left = True
                    continue
                told.append(telling.as_said(self._config, bell))
            bell.path.unlink()
        if all_moves and (moves := teller.rest()):
            told.append(teller.tell(moves, None))
        return left

    def _fetch(self, mirror: Mirror, origin: Origin, rung: list[Bell]) -> None:
        fetcher = Fetcher(origin, mirror.address, self._bounds, self._stopped)
        head = fetcher.head()
        if not mirror.exists or not mirror.fits(head):
            mirror.make(head)
        fetcher.into(mirror.git_dir)
        mirror.set_head(head.ref)
        links = {}
        if rung:
            base = rung[-1].payload["canon_url"]
            known = next((bell.link for bell in reversed(rung) if bell.link), "")
            links = {"canon_url": base} | ({"link": known} if known else {})
        mirror.note(fetched=utc(time.time()), error="", **links)
        with suppress(NotFetched):
            fetcher.tidy(mirror.git_dir)

    def _give_up(self, mirror: Mirror, rung: list[Bell], told: list[Told]) -> None:
        """Tell of the bells that waited too long as their webhook said it."""
        for bell in rung:
            if time.time() - bell.came > GIVEN_UP:
                told.append(telling.as_said(self._config, bell))
                if mirror.exists:
                    moved = ((ref, new) for _, new, ref in bell.moves)
                    memory.note(str(mirror.git_dir), moved)
                bell.path.unlink()
