"""Trello, written from its documentation and from the answers that its users quote:
many refusals are plain text.
"""

from typing import Any, ClassVar

from tests.support.trackers.contract import Answer, Contract, Kept, Request
from tests.support.trackers.forges import ContractWorld

LATE = "2036-01-01T00:00:00.000Z"
BOARD = "5abbe4b7ddc1b351ef961414"
ELSEWHERE = "5abbe4b7ddc1b351ef96ffff"
#: The names in the addresses of the boards.
NAMES = {BOARD: "AbCd1234", ELSEWHERE: "ZyXw9876"}
MISSING = Answer(404, text="The requested resource was not found.")


class TrelloContract(Contract):
    """Boards of three lists; `hidden` cards are of boards one may not see, `frozen`
    ones of boards one may only look at.
    """

    lists: ClassVar[dict[str, str]] = {"L1": "To do", "L2": "Doing", "L3": "Done"}

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[int] = set()
        self.frozen: set[int] = set()
        self.member = "normal"

    def refuse(self, request: Request) -> Answer | None:
        if "key" in request.params or "token" in request.params:
            self.problem(request, "credentials in the address")
        said = request.headers.get("authorization", "")
        if not said.startswith('OAuth oauth_consumer_key="key-1", '):
            return Answer(401, text="invalid key")
        return (
            None
            if said.endswith('oauth_token="token-1"')
            else Answer(401, text="invalid app token")
        )

    def routes(self) -> list[Any]:
        card, board = "/1/cards/([^/]+)", "/1/boards/([^/]+)"
        return [
            ("GET", "/1/members/me", lambda request: Answer(200, {"id": "M1"})),
            ("GET", board, self.board),
            ("GET", f"{board}/lists", self.columns),
            ("GET", f"{board}/memberships", self.members),
            ("GET", f"{board}/cards/([^/]+)", self.numbered),
            ("GET", card, self.named),
            ("PUT", card, self.change),
            ("POST", f"{card}/actions/comments", self.comment),
            ("GET", f"{card}/actions", self.actions),
        ]

    def board(self, request: Request, name: str) -> Answer:
        found = {
            **{short: id for id, short in NAMES.items()},
            **{id: id for id in NAMES},
        }
        if name not in found:
            return MISSING
        short = NAMES[found[name]]
        return Answer(200, {"id": found[name], "shortLink": short, "name": "A board"})

    def columns(self, request: Request, board: str) -> Answer:
        if request.params.get("filter") != "open":
            self.problem(request, "lists that are archived")
        return Answer(200, [{"id": i, "name": name} for i, name in self.lists.items()])

    def members(self, request: Request, board: str) -> Answer:
        mine = {"idMember": "M1", "memberType": self.member}
        return Answer(200, [{"idMember": "M0", "memberType": "admin"}, mine])

    def numbered(self, request: Request, board: str, number: str) -> Answer:
        kept = self.issue(number)
        fits = kept and board in (kept.home or BOARD, NAMES[kept.home or BOARD])
        return self.show(kept) if kept and fits else MISSING

    def named(self, request: Request, name: str) -> Answer:
        kept = self.card(name)
        return self.show(kept) if kept else MISSING

    def card(self, name: str) -> Kept | None:
        """By its id (`card-1`) or the name in its address (`Card0001`)."""
        return self.issue(name.removeprefix("card-").removeprefix("Card").lstrip("0"))

    def show(self, kept: Kept) -> Answer:
        if kept.number in self.hidden:
            return Answer(401, text="unauthorized card permission requested")
        names = {name: i for i, name in self.lists.items()}
        return Answer(
            200,
            {
                "id": f"card-{kept.number}",
                "idBoard": kept.home or BOARD,
                "idList": names[kept.status or "To do"],
                "closed": kept.state == "archived",
                "dueComplete": kept.state == "closed",
            },
        )

    def change(self, request: Request, name: str) -> Answer:
        kept, asked = self.card(name), request.json
        if not kept:
            return MISSING
        if kept.number in self.frozen:
            return Answer(401, text="unauthorized card permission requested")
        if not asked or not set(asked) <= {"closed", "dueComplete", "idList"}:
            self.problem(request, "other fields")
        if asked.get("idList", "L1") not in self.lists:
            return Answer(400, {"message": "invalid value for idList"})
        before = self.show(kept).json
        changed = {
            name: value for name, value in asked.items() if before[name] != value
        }
        done = {"old": {name: before[name] for name in changed}, "card": dict(changed)}
        if "idList" in changed:
            kept.status = self.lists[changed["idList"]]
            done |= {"listAfter": {"id": changed["idList"], "name": kept.status}}
        archived = asked.get("closed", before["closed"])
        complete = asked.get("dueComplete", before["dueComplete"])
        kept.state = "archived" if archived else "closed" if complete else "open"
        if changed:
            kept.history.append({"type": "updateCard", "date": LATE, "data": done})
        return self.show(kept)

    def comment(self, request: Request, name: str) -> Answer:
        kept, text = self.card(name), request.json["text"]
        if not kept:
            return MISSING
        if not 0 < len(text.encode("utf-16-le")) // 2 <= 16_384:
            return Answer(400, {"message": "invalid value for text"})
        kept.comments.append({"body": text})
        kept.history.append(
            {"type": "commentCard", "date": LATE, "data": {"text": text}}
        )
        return Answer(200, {"id": "action-1"})

    def actions(self, request: Request, name: str) -> Answer:
        kept = self.card(name)
        wanted, most = request.params["filter"], int(request.params["limit"])
        if most > 1000 or "since" not in request.params:
            self.problem(request, "window")
        found = kept.history[::-1] if kept else []
        return Answer(200, [each for each in found if each["type"] == wanted][:most])


class TrelloWorld(ContractWorld):
    contract_class = TrelloContract
    has_history = True
    keeps_time = False
    status = "Doing"

    def status_of(self, written: str) -> str:
        return self.kept(written).status or "To do"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "trello",
            "url": self.relay.url,
            "user": "key-1",
            "token": "token-1",
            "project": "AbCd1234",
        }
