"""The directory of users: secrets for their owner alone, kept until renewed, and never the passwords."""

import json
import os
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import bcrypt
import pytest

from bus.accounts import ANYBODY, Accounts, AccountsError
from bus.identifiers import InvalidIdError
from bus.nkey import NkeyError, public_nkey
from bus.permissions import PROCESSES


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "users")


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def users_of(configuration: Path) -> dict[str, dict[str, object]]:
    """Return the entries of an account file by the name in the comment above each."""
    lines = [line.strip() for line in configuration.read_text("utf-8").splitlines()]
    return {name[2:]: json.loads(entry) for name, entry in pairwise(lines) if entry.startswith(('{"nkey', '{"user'))}


def test_nobody_else_reads_what_is_written(accounts: Accounts) -> None:
    before = os.umask(0)
    try:
        accounts.keep(PROCESSES, simulate=["demo"])
        accounts.add_meter("demo", "m1")
    finally:
        os.umask(before)
    for path in (accounts.directory, *accounts.directory.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_written_again_nothing_changes(accounts: Accounts) -> None:
    accounts.keep(PROCESSES, simulate=["demo"])
    accounts.add_meter("demo", "m1")
    accounts.add_gateway("attic", ["demo"])
    before = contents(accounts.directory)
    assert accounts.keep(PROCESSES, simulate=["demo"]) == []
    accounts.add_gateway("attic", ["demo"])
    assert contents(accounts.directory) == before


def test_renewed_keys_are_others_and_only_those_asked_for(accounts: Accounts) -> None:
    accounts.keep(PROCESSES)
    before = {user.name: user.nkey for user in accounts.users}
    assert accounts.keep(["server"], renew=True) == ["server"]
    after = {user.name: user.nkey for user in accounts.users}
    assert {name for name in before if before[name] != after[name]} == {"server"}
    assert after["server"] == public_nkey(accounts.seed("server"))
    assert before["server"] not in accounts.configuration.read_text("utf-8")


def test_a_seed_that_was_moved_away_is_not_made_again(accounts: Accounts) -> None:
    accounts.keep(["aggregator"])
    accounts.seed("aggregator").unlink()
    before = accounts.configuration.read_text("utf-8")
    assert accounts.keep(["aggregator"]) == []
    assert not accounts.seed("aggregator").exists()
    assert accounts.configuration.read_text("utf-8") == before


def test_a_seed_that_was_put_there_is_taken(accounts: Accounts, tmp_path: Path) -> None:
    others = Accounts(tmp_path / "others")
    others.keep(["aggregator"])
    accounts.seed("aggregator").parent.mkdir(parents=True)
    accounts.seed("aggregator").write_bytes(others.seed("aggregator").read_bytes())
    assert accounts.keep(["aggregator"]) == []
    assert [user.nkey for user in accounts.users] == [user.nkey for user in others.users]


def test_a_file_that_holds_no_seed_is_named(accounts: Accounts) -> None:
    accounts.seed("server").parent.mkdir(parents=True)
    accounts.seed("server").write_text("no seed")
    with pytest.raises(NkeyError, match=r"server/nats\.nk holds no nkey seed"):
        accounts.keep(["server"])


def test_of_a_meters_password_only_the_hash_is_kept(accounts: Accounts) -> None:
    login = accounts.add_meter("sunfield", "m1")
    assert (login.user, login.subject, login.inbox) == ("sunfield.m1", "readings.sunfield.m1", "_INBOX_sunfield_m1")
    assert len(login.password) == 26  # 128 bits, in letters and digits that every device takes
    assert login.password.isalnum()
    assert not [name for name, data in contents(accounts.directory).items() if login.password.encode() in data]
    (user,) = accounts.users
    assert bcrypt.checkpw(login.password.encode(), user.password.encode())


def test_a_meter_gets_other_credentials_only_where_that_is_asked_for(accounts: Accounts) -> None:
    first = accounts.add_meter("sunfield", "m1")
    with pytest.raises(AccountsError, match="--rotate"):
        accounts.add_meter("sunfield", "m1")
    second = accounts.add_meter("sunfield", "m1", renew=True)
    assert second.password != first.password
    assert len(accounts.users) == 1


def test_the_inbox_of_one_meter_is_never_that_of_another(accounts: Accounts) -> None:
    logins = [accounts.add_meter(*ids) for ids in (("a", "b-c"), ("a-b", "c"), ("a", "b"), ("a-b-c", "d"))]
    assert len({login.inbox for login in logins}) == len(logins)


@pytest.mark.parametrize(("community", "meter"), [("sunfield", "*"), (">", "m1"), ("sunfield", "a.b"), ("", "m1")])
def test_what_is_no_identifier_gets_no_credentials(accounts: Accounts, community: str, meter: str) -> None:
    with pytest.raises(InvalidIdError):
        accounts.add_meter(community, meter)
    with pytest.raises(InvalidIdError):
        accounts.add_gateway("attic", ["sunfield", community if meter == "m1" else meter])
    assert accounts.users == ()


def test_meters_and_gateways_are_in_a_file_of_their_own(accounts: Accounts) -> None:
    accounts.keep(["server"])
    accounts.add_meter("sunfield", "m1")
    accounts.add_gateway("attic", ["sunfield"])
    assert set(users_of(accounts.configuration)) == {"server"}
    others = users_of(accounts.configuration.with_name("meters.conf"))
    assert set(others) == {"sunfield.m1", "gateway-attic"}
    assert others["sunfield.m1"]["allowed_connection_types"] == ["STANDARD", "MQTT"]


def test_a_user_that_is_removed_is_gone_from_every_file(accounts: Accounts) -> None:
    accounts.keep(["server"])
    accounts.add_meter("sunfield", "m1")
    accounts.add_gateway("attic", [])
    for name in ("sunfield.m1", "gateway-attic"):
        accounts.remove(name)
        with pytest.raises(AccountsError, match=f"no user '{name}'"):
            accounts.remove(name)
    assert not [data for data in contents(accounts.directory).values() if b"sunfield" in data or b"attic" in data]
    assert not accounts.seed("gateway-attic").exists()


def test_anybody_may_be_let_in_and_out_again(accounts: Accounts) -> None:
    accounts.keep(["server"])
    accounts.open(to_anybody=True)
    assert users_of(accounts.configuration)[ANYBODY] == {"user": ANYBODY}
    accounts.add_meter("sunfield", "m1")
    assert ANYBODY in users_of(accounts.configuration)
    accounts.open(to_anybody=False)
    assert ANYBODY not in users_of(accounts.configuration)


@pytest.mark.parametrize("text", ["", "{", "[{}]", '[{"name": "x", "role": "owner"}]'])
def test_a_list_of_users_that_is_not_readable_is_named_and_left_alone(accounts: Accounts, text: str) -> None:
    accounts.keep(["server"])
    path = accounts.configuration.with_name("users.json")
    path.write_text(text)
    with pytest.raises(AccountsError, match=r"users\.json is not readable"):
        accounts.keep(["server"])
    assert path.read_text() == text


@pytest.mark.slow
def test_meters_added_by_many_processes_at_once_are_all_there(accounts: Accounts) -> None:
    code = (
        "import sys; from pathlib import Path; from bus.accounts import Accounts\n"
        "for number in range(10): Accounts(Path(sys.argv[1])).add_meter('sunfield', f'{sys.argv[2]}-{number}')"
    )
    adding = [subprocess.Popen([sys.executable, "-c", code, str(accounts.directory), f"m{n}"]) for n in range(3)]
    assert [process.wait(60) for process in adding] == [0, 0, 0]
    assert len(accounts.users) == 30
    assert len(users_of(accounts.configuration.with_name("meters.conf"))) == 30
