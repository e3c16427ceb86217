"""Signatures and versions by connection, through the whole gateway."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gateway.client import ISO_JSON, GatewayClient, Received, Rejected
from gateway.config import (
    ConfigurationError,
    ConnectionSettings,
    MemberSettings,
    Settings,
    SigningSettings,
)
from gateway.connections import Connections
from gateway.http import wire
from protocols.iso20022 import envelope, json_form, render, sese023, signature, versions
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import Movement, SettlementInstruction
from protocols.iso20022.schemas import BUNDLED, ISO, namespace_of
from protocols.iso20022.signature import Signer
from protocols.iso20022.versions import LOSSY, WRITTEN
from tests.gateway.requests import cancellation
from tests.gateway.served import served
from tests.gateway.systems import BUYER, SELLER, system, until
from tests.gateway.test_instructions import instruction
from tests.protocols import samples
from tests.protocols.test_signature import NOW, key, pinned


def pem(directory: Path, kind: str) -> SigningSettings:
    made = SigningSettings(
        key_file=directory / f"{kind}.key", certificate_file=directory / f"{kind}.pem"
    )
    made.key_file.write_bytes(
        key(kind).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    made.certificate_file.write_bytes(pinned(kind).public_bytes(serialization.Encoding.PEM))
    return made


def connected(settings: Settings, **by_member: ConnectionSettings) -> dict[str, Any]:
    return {
        "members": tuple(
            msgspec.structs.replace(
                member, connection=by_member.get(member.bic[:4], ConnectionSettings())
            )
            for member in settings.members
        )
    }


def written(item: SettlementInstruction, id: str, version: str = "sese.023.001.11") -> str:
    head = Header(
        sender=item.sender,
        receiver="LCKSNL20XXX",
        business_message_id=id,
        definition=version,
        created_at=1_790_000_000_000_000_000,
    )
    return render.business_message(head, sese023.encode(item, version))


async def test_a_member_that_must_sign_is_taken_signed_only_and_is_answered_signed(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    member, own = pem(tmp_path, "ec"), pem(tmp_path, "rsa")
    agreed = ConnectionSettings(
        signatures="required", certificate_files=(member.certificate_file,), sign=True
    )
    loose = ConnectionSettings(signatures="optional", certificate_files=(member.certificate_file,))
    signer, stranger = Signer(key("ec"), pinned("ec")), Signer(key("rsa"), pinned("rsa"))
    async with system(dsns, tmp_path) as made:
        changes = connected(made.settings, SELA=agreed, BUYR=loose)
        async with made.gateway(signing=own, **changes) as running, served(running) as client:
            seller, buyer = client(SELLER), client(BUYER)
            text = written(instruction(Movement.DELI), "S1")
            assert _code(await seller.send(text.encode())) == "XSIG"
            assert _code(await seller.send(stranger.sign(text).encode())) == "XSIG"
            spoilt = signer.sign(text).replace("998.75", "998.76")
            assert _code(await seller.send(spoilt.encode())) == "XSIG"
            (taken,) = await seller.send(signer.sign(text).encode())
            assert isinstance(taken, Received)
            (again,) = await seller.send(signer.sign(text).encode())
            assert again == taken
            form = msgspec.json.encode(json_form.to_json(text))
            assert _code(await seller.send(form, ISO_JSON)) == "XSIG"  # signed as XML only
            other = written(instruction(Movement.RECE), "B1")
            assert _code(await buyer.send(stranger.sign(other).encode())) == "XSIG"
            assert _code(await buyer.send(other.encode())) == "taken"
            await until(lambda: _arrived(seller, 3))
            for entry in (await seller.inbox()).messages:
                assert entry.xml is not None
                _verified(entry.xml, pinned("rsa"))
            for entry in (await buyer.inbox()).messages:
                assert entry.xml is not None and "Sgntr" not in entry.xml


def _code(outcomes: tuple[Received | Rejected, ...]) -> str:
    (outcome,) = outcomes
    return outcome.code if isinstance(outcome, Rejected) else "taken"


async def _arrived(client: Any, number: int) -> bool:
    return len((await client.inbox()).messages) >= number


def _verified(xml: str, *certificates: x509.Certificate) -> None:
    (item,) = envelope.split(xml.encode())
    assert isinstance(item, Enveloped)
    signature.verify(item.app_hdr, item.document, certificates, NOW)


async def test_a_connection_has_its_versions_and_a_chain_of_answers_keeps_them(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    newer = ConnectionSettings(
        accept=("sese.023.001.12", "sese.020.001.07"),
        emit={"sese.024": "13", "sese.025": "12", "sese.027": "09"},
    )
    async with system(dsns, tmp_path) as made:
        deliver = instruction(Movement.DELI)
        changes = connected(made.settings, SELA=newer)
        async with made.gateway(**changes) as running, served(running) as client:
            seller = client(SELLER)
            assert _code(await seller.send(written(deliver, "S0").encode())) == "XVER"
            text = written(deliver, "S1", "sese.023.001.12")
            assert _code(await seller.send(text.encode())) == "taken"
        # The connection is changed while the instruction waits: its answers are not.
        async with made.gateway(**connected(made.settings)) as running:
            await running.desk.take_messages(SELLER, [cancellation(instruction(Movement.DELI))])
            await running.desk.take_messages(BUYER, envelope.split(_receipt()))
            async with served(running) as client:
                await until(lambda: _settled(client(SELLER)))
                page = await _about_securities(client(SELLER))
                assert [entry.definition for entry in page] == [
                    "sese.024.001.13",
                    "sese.027.001.07",  # a request that came afterwards begins a chain of its own
                    "sese.024.001.13",
                    "sese.025.001.12",
                ]
                for entry in page:
                    assert entry.xml is not None
                    (item,) = envelope.split(entry.xml.encode())
                    assert isinstance(item, Enveloped)
                    assert item.header.definition == entry.definition == item.definition
                    envelope.validate(item, frozenset({entry.definition}))
                page = await _about_securities(client(BUYER))
                assert {entry.definition for entry in page} == {
                    "sese.024.001.12",
                    "sese.025.001.11",
                }


async def _about_securities(client: GatewayClient) -> list[wire.Delivery]:
    return [x for x in (await client.inbox()).messages if x.definition.startswith("sese.")]


async def _settled(client: GatewayClient) -> bool:
    return any(x.definition.startswith("sese.025") for x in await _about_securities(client))


def _receipt() -> bytes:
    return written(instruction(Movement.RECE), "B1").encode()


@pytest.mark.parametrize("name", sorted(samples.outbound()))
def test_every_version_that_is_offered_says_the_same_and_is_valid(name: str) -> None:
    value = samples.outbound()[name]
    profile = samples.reply_header(value)
    for version in WRITTEN.get(profile.definition[:8], ()):
        definition = f"{profile.definition[:8]}.001.{version}"
        assert ISO + definition in BUNDLED
        head = msgspec.structs.replace(profile, definition=definition)
        (item,) = envelope.split(render.render(value, head).encode())
        assert isinstance(item, Enveloped)
        envelope.validate(item, frozenset({definition}))
        assert namespace_of(item.document) == ISO + definition
        (plain,) = envelope.split(render.render(value, profile).encode())
        assert isinstance(plain, Enveloped)
        said = ["".join(x.document.itertext()) for x in (item, plain)]
        assert said[0] == said[1], "nothing is left out"


@pytest.mark.parametrize("definition", LOSSY)
def test_a_version_that_would_lose_something_is_refused_with_the_reason(definition: str) -> None:
    message, _, version = definition.partition(".001.")
    fault = versions.fault(message, version)
    assert fault is not None and "CtrPtyMktInfrstrctrTxId" in fault


@pytest.mark.parametrize(
    ("connection", "fault"),
    [
        (
            ConnectionSettings(accept=("sese.023.001.08",)),
            r"accept: sese\.023\.001\.08 is not read",
        ),
        (ConnectionSettings(emit={"sese.024": "99"}), r"emit: .* choose one of 12, 13, 14"),
        (ConnectionSettings(emit={"sese.024": "11"}), "nothing is left out silently"),
        (ConnectionSettings(emit={"pacs.004": "09"}), "one version here"),
        (ConnectionSettings(signatures="required"), "certificate_files: name the member"),
        (ConnectionSettings(sign=True), r"sign: the gateway has no key; see \[signing\]"),
        (
            ConnectionSettings(signatures="optional", certificate_files=(Path("/nowhere"),)),
            "/nowhere: No such file",
        ),
        (
            ConnectionSettings(signatures="optional", certificate_files=(Path(__file__),)),
            "certificate_files: .*test_connections",
        ),
    ],
)
def test_a_connection_that_cannot_be_kept_stops_the_start(
    tmp_path: Path, connection: ConnectionSettings, fault: str
) -> None:
    member = MemberSettings(bic=SELLER, name="", token_sha256="", connection=connection)
    settings = Settings(bic="", dsn="", master_file=tmp_path, ledgers={}, members=(member,))
    with pytest.raises(ConfigurationError, match=fault):
        Connections(settings)
