"""Networks of registries on one machine: pseudonyms, fewer registries, who may do what where."""

import json
from pathlib import Path

import msgspec
import pytest

from gateway.config import ConfigurationError, read, secret
from gateway.embedded.nats_settings import LogServerSettings, new_seed, public_key, render
from gateway.icsd_node.settings import NodeProcess, RegistrySettings
from gateway.machine import arrangement, credentials, network, up, world
from gateway.machine.arrangement import Ports
from gateway.machine.data_directory import DataDirectory, DataDirectoryError
from gateway.machine.network import Names, pseudonym
from gateway.machine.up import Options
from gateway.machine.world import World
from gateway.process.icsd_log import LogProcess
from ledgers.parties import Role

PORTS = Ports(host="127.0.0.1", client=4222, monitor=8222)
KZ_ACCOUNT = "KZ-ALTYKZ-0001"


@pytest.fixture
def plain() -> World:
    return world.load(world.find(world.NETWORK))


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    made = DataDirectory(tmp_path / "data")
    made.hold()
    return made


@pytest.fixture
def names(plain: World, directory: DataDirectory) -> dict[tuple[str, str], Names]:
    return network.ensure_names(directory, plain)


@pytest.fixture
def shown(plain: World, names: dict[tuple[str, str], Names]) -> World:
    return network.disguised(plain, names)


def test_a_pseudonym_tells_its_home_and_nothing_else() -> None:
    made = pseudonym("KZ", "salt", "account", KZ_ACCOUNT)
    assert made.startswith("KZ-")
    assert len(made) == 35, "what SfkpgAcct of ISO 20022 holds"
    assert made[3:] not in {
        pseudonym("KZ", "other", "account", KZ_ACCOUNT)[3:],
        pseudonym("KZ", "salt", "owner", KZ_ACCOUNT)[3:],
        pseudonym("KZ", "salt", "account", "KZ-ALTYKZ-0002")[3:],
    }
    assert made == pseudonym("KZ", "salt", "account", KZ_ACCOUNT)


def test_names_are_made_once_and_are_each_registrys_own(
    plain: World, directory: DataDirectory, names: dict[tuple[str, str], Names]
) -> None:
    assert network.ensure_names(directory, plain) == names
    assert len({book.salt for book in names.values()}) == 4
    assert set(names["securities", "KZ"].accounts.values()) == {KZ_ACCOUNT, "KZ-ESILKZ-0001"}
    assert set(names["securities", "UZ"].owners.values()) == {"SAMQUZ20XXX", "AMUDUZ20XXX"}


def test_the_network_is_shown_pseudonyms_and_the_currencies_as_they_are(
    plain: World, shown: World
) -> None:
    for before, after in zip(plain.members, shown.members, strict=True):
        [name], [disguised] = before.accounts["securities"], after.accounts["securities"]
        assert disguised[:3] == name[:3] and disguised != name
        assert after.accounts["tenge"] == before.accounts["tenge"]
        assert after.accounts["securities"][disguised] == before.accounts["securities"][name]


def test_fewer_registries_leave_a_world_that_holds_together(plain: World, tmp_path: Path) -> None:
    fewer = network.narrowed(plain, 2)
    assert list(fewer.ledgers["securities"].registries) == ["KZ", "UZ"]
    assert {asset.registry for asset in fewer.ledgers["securities"].assets.values()} == {"KZ", "UZ"}
    assert [member.bic[4:6] for member in fewer.members] == ["KZ", "KZ", "UZ", "UZ"]
    held = {h.asset for h in world.holdings(fewer) if h.ledger == "securities"}
    assert held == set(fewer.ledgers["securities"].assets)
    file = tmp_path / "fewer.toml"
    file.write_bytes(msgspec.toml.encode(arrangement.plain(fewer)))
    assert world.load(file) == fewer


@pytest.mark.parametrize("count", [0, 5])
def test_more_registries_than_there_are_is_refused(plain: World, count: int) -> None:
    with pytest.raises(ConfigurationError, match="this world has 1 to 4"):
        network.narrowed(plain, count)


def test_a_world_without_a_network_has_no_registries() -> None:
    with pytest.raises(ConfigurationError, match="no network of registries"):
        network.narrowed(world.load(world.find("dvp")), 2)


def test_the_first_start_fixes_how_many_registries_there_are(directory: DataDirectory) -> None:
    first = up.settled_world(Options(data=directory.path, registries=2), directory)
    assert len(first.ledgers["securities"].registries) == 2
    directory.write(directory.seeded.name, b"")
    assert up.settled_world(Options(data=directory.path), directory) == first
    with pytest.raises(DataDirectoryError, match="was made with 2 registries"):
        up.settled_world(Options(data=directory.path, registries=3), directory)


def test_a_node_knows_its_own_people_only(
    shown: World, directory: DataDirectory, names: dict[tuple[str, str], Names]
) -> None:
    made = credentials.ensure(directory, shown)
    book = names["securities", "UZ"]
    tokens = credentials.node_tokens(shown, made, "securities", "UZ", book)
    by_role = {role: [t.name for t in tokens if t.role is role] for role in Role}
    assert by_role[Role.OWNER] == list(book.owners)
    assert set(by_role[Role.ISSUER]) == {"ZATEUZ20XXX", "REPAUZ20XXX"}
    assert by_role[Role.LEDGER_OPERATOR] == ["RMDEUZ20XXX"]
    assert by_role[Role.OPERATOR] == ["LKSPKZA0XXX"]


def test_a_nodes_configuration_is_read_as_it_was_written(
    shown: World, directory: DataDirectory, names: dict[tuple[str, str], Names]
) -> None:
    made = credentials.ensure(directory, shown)
    settings = arrangement.node_process(
        shown,
        directory,
        made,
        "securities",
        "KG",
        names["securities", "KG"],
        PORTS,
        "postgresql://x",
        ["http://127.0.0.1:1"],
    )
    file = arrangement.write(directory, "securities-kg", settings)
    assert read(file, NodeProcess) == settings
    members = settings.network().epoch.members
    assert [member.registry for member in members] == ["AZ", "KG", "KZ", "UZ"]
    assert members[1].public_key == settings.key().public_key().public_bytes_raw()
    text = file.read_text()
    tokens = (*made.members.values(), *made.log_seeds.values(), *made.peers.values())
    assert not any(token in text for token in tokens)
    [peer] = settings.peers
    assert (peer.url, secret(peer.token_file)) == (
        "http://127.0.0.1:1",
        made.peers["securities-kg"],
    )
    others = [
        credentials.node_tokens(shown, made, "securities", name, names["securities", name])
        for name in ("AZ", "KZ", "UZ")
    ]
    digest = credentials.token_sha256(made.peers["securities-kg"])
    for known in others:
        assert [token.role for token in known if token.sha256 == digest] == [Role.SUPERVISOR]
    assert digest not in {token.sha256 for token in settings.tokens}, "it asks the others"
    assert settings.messages is not None, "a network takes messages out of the box"
    correspondents = settings.correspondents(settings.messages)
    assert correspondents.members == names["securities", "KG"].owners
    assert correspondents.depositories["UZ"] == "RMDEUZ20XXX"


def test_the_logs_configuration_lets_each_registry_write_its_own(
    shown: World, directory: DataDirectory
) -> None:
    made = credentials.ensure(directory, shown)
    settings = arrangement.log_process(shown, directory, made, "securities", PORTS)
    file = arrangement.write(directory, settings.server.name, settings)
    assert read(file, LogProcess) == settings
    rendered = json.loads(render(settings.server))
    assert rendered["jetstream"]["sync_interval"] == "always"
    administrator, *users = rendered["accounts"]["ICSD"]["users"]
    assert administrator == {"nkey": public_key(made.log_seeds["administrator"])}
    by_key = {user["nkey"]: user["permissions"] for user in users}
    of_kz = by_key[public_key(made.log_seeds["securities-kz"])]
    assert of_kz["publish"]["allow"][:3] == ["ord.KZ", "ord.cut", "vote.KZ"]
    assert len(by_key) == 4


def test_readers_publish_nothing() -> None:
    reader = public_key(new_seed(bytes(32)))
    settings = LogServerSettings(
        name="n",
        store=Path("store"),
        listen="127.0.0.1:1",
        monitor="127.0.0.1:2",
        administrator=public_key(new_seed(bytes([1]) * 32)),
        registries={},
        readers={"sup": reader},
    )
    [_, user] = json.loads(render(settings))["accounts"]["ICSD"]["users"]
    assert all(
        subject.startswith("$JS.API.") for subject in user["permissions"]["publish"]["allow"]
    )


@pytest.mark.parametrize(
    ("registries", "said"),
    [
        ((("KZ", "00" * 32),), "UZ itself is not among them"),
        ((("UZ", "zz"),), "the public key of UZ is not hex"),
        ((("UZ", "00"),), "a key of 32 bytes"),
        ((("UZ", "00" * 32), ("UZ", "01" * 32)), "each registry once"),
    ],
)
def test_a_wrong_membership_is_refused_by_its_rule(
    shown: World,
    directory: DataDirectory,
    names: dict[tuple[str, str], Names],
    registries: tuple[tuple[str, str], ...],
    said: str,
) -> None:
    made = credentials.ensure(directory, shown)
    book = names["securities", "UZ"]
    settings = arrangement.node_process(
        shown, directory, made, "securities", "UZ", book, PORTS, "postgresql://x"
    )
    members = tuple(RegistrySettings(name=name, public_key=key) for name, key in registries)
    with pytest.raises(ConfigurationError, match=said):
        msgspec.structs.replace(settings, registries=members).network()
