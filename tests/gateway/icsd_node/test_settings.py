"""Who writes to whom, as a node's configuration says it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.calendars import CalendarSettings
from gateway.config import ConfigurationError, WebhookSettings
from gateway.icsd_node.settings import (
    LogSettings,
    MemberSettings,
    MessageSettings,
    NodeProcess,
    RegistrySettings,
)
from gateway.process.ledger import TokenSettings
from ledgers.parties import Principal, Role

MESSAGES = MessageSettings(
    depositories={"KZ": "CSDKKZKA", "UZ": "CSDUUZ22XXX"},
    members=(MemberSettings(name="KZ-1", bic="CUSTKZKA"),),
)
SETTINGS = NodeProcess(
    ledger="securities",
    registry="KZ",
    registries=tuple(RegistrySettings(name=name, public_key="00" * 32) for name in ("KZ", "UZ")),
    key_file=Path("key"),
    dsn="postgresql:///kz",
    tokens=(
        TokenSettings(name="KZ-1", role=Role.OWNER, sha256="00" * 32),
        TokenSettings(name="watcher", role=Role.SUPERVISOR, sha256="11" * 32),
    ),
    log=LogSettings(servers=("nats://a:1",), monitors=("http://a:2",), seed_file=Path("seed")),
)


def test_bics_have_eleven_characters_and_stand_for_the_tokens_principal() -> None:
    known = SETTINGS.correspondents(MESSAGES)
    assert known.depositories == {"KZ": "CSDKKZKAXXX", "UZ": "CSDUUZ22XXX"}
    assert known.members == {"KZ-1": "CUSTKZKAXXX"}
    assert known.principals == {"CUSTKZKAXXX": Principal(name="KZ-1", role=Role.OWNER)}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"depositories": {"KZ": "CSDKKZKA"}}, "the BIC of each registry"),
        ({"depositories": {"KZ": "kz", "UZ": "CSDUUZ22"}}, "kz is no BIC"),
        ({"members": (MemberSettings(name="KZ-2", bic="CUSTKZKA"),)}, "KZ-2 has no token"),
        ({"members": (MemberSettings(name="watcher", bic="CUSTKZKA"),)}, "as an owner"),
        ({"members": MESSAGES.members * 2}, "stand there once"),
        ({"calendar": CalendarSettings(time_zone="Mars")}, "messages.calendar.time_zone"),
        ({"webhooks": WebhookSettings(allow_networks=("x",))}, r"webhooks.allow_networks\[0\]"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        SETTINGS.correspondents(msgspec.structs.replace(MESSAGES, **changes))
