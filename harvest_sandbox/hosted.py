"""A Harvest account as the service hosts it: its id, its records, and the tokens that reach it."""

from __future__ import annotations

from .account import Account

ROLES = ("administrator", "manager", "member")


class HostedAccount:
    """One of the accounts that a service answers from.

    Args:
        account: The records.
        account_id: What requests name in `Harvest-Account-Id`.
        tokens: The tokens of the first administrator, the first manager and the first member.

    Attributes:
        users: Each token that reaches this account, and the user whose token it is. More tokens
            can be put in, and a token that is taken out no longer reaches the account. None stands
            for an administrator who is not among the users.
    """

    def __init__(self, account: Account, account_id: int, tokens: tuple[str, str, str]) -> None:
        self.account, self.account_id = account, account_id
        self.token, self.manager_token, self.member_token = tokens
        self._lasting = {self.token}
        self.users: dict[str, int | None] = {self.token: None}
        for user_id, user in sorted(account.records["users"].items()):
            for token, role in zip(tokens, ROLES, strict=True):
                if role in user.get("access_roles", ()) and self.users.get(token) is None:
                    self.users[token] = user_id

    def share(self, token: str) -> None:
        """Let one more token reach this account, as the first administrator's."""
        self.users[token] = self.users[self.token]
        self._lasting.add(token)

    def accepts(self, token: str) -> bool:
        """Tell whether a token reaches this account.

        A token goes with its user. Only the first administrator's tokens outlive theirs, so that
        the account can still be read when all users were deleted.
        """
        if token not in self.users:
            return False
        return token in self._lasting or self.users[token] in self.account.records["users"]
