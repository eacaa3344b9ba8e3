"""Several accounts behind one server."""

from __future__ import annotations

import pytest
import requests

from harvest_sandbox import Sandbox

from .asking import Json, ask, ids, read


def listed(sandbox: Sandbox, token: str) -> Json:
    """Ask which accounts a token reaches, with no account id in the request."""
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "tests"}
    answer = requests.get(sandbox.accounts_url, headers=headers, timeout=10)
    answer.raise_for_status()
    body: Json = answer.json()
    return body


def harvest_ids(body: Json) -> list[int]:
    """Return the ids of the Harvest accounts in the answer."""
    return [row["id"] for row in body["accounts"] if row["product"] == "harvest"]


def test_own_records(sandbox: Sandbox) -> None:
    """A second account has other records than the first, and an edit of one leaves the other."""
    other = sandbox.add_account()
    for table in ("time_entries", "users", "invoices"):
        here = read(sandbox, table)
        there = read(sandbox, table, other.token, other.account_id)
        assert set(ids(there)) == other.account.records[table].keys()
        assert not set(ids(here)) & set(ids(there))
    path = f"clients/{other.account.rows('clients')[0]['id']}"
    assert ask(sandbox, path).status_code == 404
    assert ask(sandbox, path, other.token, other.account_id).status_code == 200
    names = [
        ask(sandbox, "company", token, account_id).json()["name"]
        for token, account_id in ((None, None), (other.token, other.account_id))
    ]
    assert names == ["Sandbox Agency", "Agency 515151"]


def test_same_ids(sandbox: Sandbox) -> None:
    """Two accounts can be made to hold records with the same ids."""
    other = sandbox.add_account(first_id=3_000_000_000)
    here, there = (account.records["users"] for account in (sandbox.account, other.account))
    assert min(here) == min(there)
    assert here[min(here)] != there[min(there)]


def test_account_id_taken(sandbox: Sandbox) -> None:
    """A second account cannot take the first one's id."""
    with pytest.raises(ValueError, match="424242"):
        sandbox.add_account(424242)


def test_reach(sandbox: Sandbox) -> None:
    """A token reaches its own account and answers 404 for another; one reaches both."""
    assert ask(sandbox, "clients", sandbox.shared_token).status_code == 401
    other = sandbox.add_account()
    reached = {
        token: [
            ask(sandbox, "time_entries", token, account_id).status_code
            for account_id in (sandbox.account_id, other.account_id)
        ]
        for token in (sandbox.token, other.token, sandbox.shared_token, other.member_token, "none")
    }
    assert reached == {
        sandbox.token: [200, 404],
        other.token: [404, 200],
        sandbox.shared_token: [200, 200],
        other.member_token: [404, 200],
        "none": [401, 401],
    }


def test_roles_by_account(sandbox: Sandbox) -> None:
    """One token can be an administrator's in one account and a member's in another."""
    other = sandbox.add_account()
    other.users[sandbox.shared_token] = other.users[other.member_token]
    assert ask(sandbox, "users", sandbox.shared_token).status_code == 200
    refused = ask(sandbox, "users", sandbox.shared_token, other.account_id)
    assert refused.status_code == 403


def test_listed_accounts(sandbox: Sandbox) -> None:
    """The accounts that a token reaches are listed, Forecast's beside Harvest's."""
    assert harvest_ids(listed(sandbox, sandbox.token)) == [424242]
    other = sandbox.add_account()
    assert harvest_ids(listed(sandbox, sandbox.token)) == [424242]
    assert harvest_ids(listed(sandbox, other.token)) == [515151]
    body = listed(sandbox, sandbox.shared_token)
    assert harvest_ids(body) == [424242, 515151]
    assert [row["name"] for row in body["accounts"]] == [
        "Sandbox Agency", "Agency 515151", "Sandbox Planning",
    ]  # fmt: skip
    assert body["accounts"][-1]["product"] == "forecast"
    assert body["user"].keys() == {"id", "first_name", "last_name", "email"}
    assert body["user"]["id"] not in sandbox.account.records["users"]
    me = ask(sandbox, "users/me").json()
    assert body["user"]["email"] == me["email"]
    del other.users[sandbox.shared_token]
    assert harvest_ids(listed(sandbox, sandbox.shared_token)) == [424242]


def test_accounts_refused(sandbox: Sandbox) -> None:
    """The list of accounts is on the id host's path only, and needs a valid token."""
    assert ask(sandbox, "accounts").status_code == 404
    refused = ask(sandbox, sandbox.accounts_url, "wrong")
    assert refused.status_code == 401
    assert refused.json()["error"] == "invalid_token"


def test_one_clock(sandbox: Sandbox) -> None:
    """All accounts follow the sandbox's clock."""
    other = sandbox.add_account()
    sandbox.clock.shift(days=3)
    first, second = (
        account.update("clients", next(iter(account.records["clients"])))["updated_at"]
        for account in (sandbox.account, other.account)
    )
    assert first == second


def test_control_account(sandbox: Sandbox) -> None:
    """Over HTTP too an account can be added, and edits say which account they mean."""
    control = sandbox.base_url.replace("/v2", "/_sandbox")
    body = {"account_id": 7, "size": "empty"}
    added = requests.post(f"{control}/accounts", json=body, timeout=10).json()
    where = {"account_id": "7"}
    client = requests.post(f"{control}/add/clients", json={"name": "x"}, params=where, timeout=10)
    assert ids(read(sandbox, "clients", added["token"], 7)) == [client.json()["id"]]
    assert ids(read(sandbox, "clients", added["shared_token"], 7)) == [client.json()["id"]]
    truth = requests.get(f"{control}/truth/clients", where, timeout=10).json()
    assert ids(truth) == [client.json()["id"]]
    unknown = requests.get(f"{control}/truth/clients", {"account_id": "8"}, timeout=10)
    assert unknown.status_code == 422
