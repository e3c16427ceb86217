"""Credentials and configurations that `up` makes from a world."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway import access
from gateway.config import ConfigurationError, MatchingSettings, Settings, check, read
from gateway.machine import arrangement, credentials, world
from gateway.machine.credentials import Credentials
from gateway.machine.data_directory import DataDirectory
from gateway.machine.world import World
from gateway.process.ledger import LedgerProcess
from ledgers.access import authenticate
from ledgers.parties import Principal, Role

URLS = {"registry": "http://127.0.0.1:1", "euro": "http://127.0.0.1:2"}


@pytest.fixture
def dvp() -> World:
    return world.load(world.find("dvp"))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDirectory]:
    made = DataDirectory(tmp_path / "d")
    made.hold()
    yield made
    made.release()


def every_token(made: Credentials) -> list[str]:
    found: list[str] = []
    for part in msgspec.to_builtins(made).values():
        found += part.values() if isinstance(part, dict) else [part]
    return found


def test_every_principal_has_a_token_of_its_own(dvp: World, directory: DataDirectory) -> None:
    tokens = every_token(credentials.ensure(directory, dvp))
    assert len(set(tokens)) == len(tokens) == 12 + 9 + 2 + 2 + 1
    assert all(len(token) == 43 for token in tokens), "32 random bytes, base64url"


def test_secrets_are_made_once(dvp: World, directory: DataDirectory) -> None:
    first = credentials.ensure(directory, dvp)
    key = directory.service("registry.key").read_bytes()
    assert credentials.ensure(directory, dvp) == first
    assert directory.service("registry.key").read_bytes() == key


def test_members_json_has_the_shape_of_the_contract(dvp: World, directory: DataDirectory) -> None:
    made = credentials.ensure(directory, dvp)
    said = json.loads(directory.members.read_bytes())
    assert said["members"]["ALSTDEF0XXX"] == {
        "token": made.members["ALSTDEF0XXX"],
        "accounts": {"registry": ["REG-ALSTDE-0001"], "euro": ["EUR-ALSTDE-0001"]},
    }
    assert {name: (o["role"], o.get("ledger")) for name, o in said["operators"].items()} == {
        "gateway-operator": ("gateway", None),
        "registry-operator": ("ledger", "registry"),
        "euro-operator": ("ledger", "euro"),
        "euro-central-bank": ("central-bank", "euro"),
    }
    assert directory.members.stat().st_mode & 0o777 == 0o600


def test_a_token_is_found_by_bic_or_by_name(dvp: World, directory: DataDirectory) -> None:
    made = credentials.ensure(directory, dvp)
    known = access.read(directory.members)
    assert known.token("ALSTDEF0XXX") == made.members["ALSTDEF0XXX"]
    assert known.token("euro-operator") == made.ledger_operators["euro"]
    assert known.token("EIBKLUL0XXX") == made.issuers["EIBKLUL0XXX"]
    assert known.token("NEMOGB20XXX") is None
    with pytest.raises(ConfigurationError, match="No such file"):
        access.read(directory.path / "none")


@pytest.mark.parametrize("after", [0.0, -1.0, float("nan"), float("inf")])
def test_a_delay_that_is_none_is_refused(
    dvp: World, directory: DataDirectory, after: float
) -> None:
    made = credentials.ensure(directory, dvp)
    settings = arrangement.gateway_process(
        dvp, directory, made, URLS, replica="gateway-1", dsn="", business_date=None
    )
    assert check(settings) == settings
    matching = MatchingSettings(allege_after_seconds=after)
    wrong = msgspec.structs.replace(settings, matching=matching)
    with pytest.raises(ConfigurationError, match=r"^matching\.allege_after_seconds: expected more"):
        check(wrong)


def test_a_ledgers_configuration_is_read_as_it_was_written(
    dvp: World, directory: DataDirectory
) -> None:
    made = credentials.ensure(directory, dvp)
    settings = arrangement.ledger_process(dvp, directory, made, "registry", "postgresql://x")
    path = arrangement.write(directory, "registry", settings)
    assert read(path, LedgerProcess) == settings
    assert settings.seal().ledger == "registry"


def test_a_ledger_knows_its_principals_and_nobody_elses(
    dvp: World, directory: DataDirectory
) -> None:
    made = credentials.ensure(directory, dvp)
    known = arrangement.ledger_process(dvp, directory, made, "euro", "").principals()

    def who(token: str) -> Principal | None:
        return authenticate(known, f"Bearer {token}")

    assert who(made.gateway_at["euro"]) == Principal(name="LKSPBEB0XXX", role=Role.OPERATOR)
    assert who(made.members["ALSTDEF0XXX"]) == Principal(name="ALSTDEF0XXX", role=Role.OWNER)
    assert who(made.issuers["ZBEUDEF0XXX"]) == Principal(name="ZBEUDEF0XXX", role=Role.ISSUER)
    assert who(made.gateway_operator) == Principal(name="gateway-operator", role=Role.SUPERVISOR)
    assert who(made.gateway_at["registry"]) is None
    assert who(made.issuers["EIBKLUL0XXX"]) is None, "issues on the registry only"


@pytest.mark.parametrize("name", ["dvp", "pvp", "cross-currency", "ring"])
def test_a_gateways_configuration_is_read_as_it_was_written(
    name: str, directory: DataDirectory
) -> None:
    known = world.load(world.find(name))
    made = credentials.ensure(directory, known)
    settings = arrangement.gateway_process(
        known,
        directory,
        made,
        dict.fromkeys(known.ledgers, "http://127.0.0.1:1"),
        replica="gateway",
        dsn="postgresql://x",
        business_date="2026-10-08",
    )
    path = arrangement.write(directory, "gateway", settings)
    assert check(read(path, Settings)) == settings


def test_no_token_stands_in_a_configuration(dvp: World, directory: DataDirectory) -> None:
    made = credentials.ensure(directory, dvp)
    arrangement.write(
        directory, "euro", arrangement.ledger_process(dvp, directory, made, "euro", "x")
    )
    gateway = arrangement.gateway_process(
        dvp, directory, made, URLS, replica="gateway", dsn="x", business_date=None
    )
    arrangement.write(directory, "gateway", gateway)
    texts = [directory.service(f"{name}.toml").read_text() for name in ("euro", "gateway")]
    assert not [token for token in every_token(made) for text in texts if token in text]


def test_replicas_have_names_of_their_own(dvp: World) -> None:
    assert arrangement.replicas(dvp) == ("gateway",)
    three = msgspec.structs.replace(dvp, gateway=msgspec.structs.replace(dvp.gateway, replicas=3))
    assert arrangement.replicas(three) == ("gateway", "gateway-2", "gateway-3")


def test_a_key_of_a_wrong_length_is_refused(dvp: World, directory: DataDirectory) -> None:
    made = credentials.ensure(directory, dvp)
    settings = arrangement.ledger_process(dvp, directory, made, "euro", "x")
    settings.key_file.write_bytes(b"short")
    with pytest.raises(ConfigurationError, match=r"euro\.key: expected 32 bytes"):
        settings.seal()
