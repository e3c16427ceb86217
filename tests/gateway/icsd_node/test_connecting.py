"""`CONNECTING.md`: every command in it is sent to a node and answered as it says; and a node serves
what it describes, no more and no less."""

import argparse
import asyncio
import re
import shlex
from pathlib import Path
from string import Template
from typing import Any

import gateway.icsd_node
from gateway.icsd_node.service import document
from tests.described import described, served
from tests.gateway.icsd_node.desk import FIRST, ISIN, Desk, delivery

TEXT = (Path(gateway.icsd_node.__file__).parent / "CONNECTING.md").read_text()
COMMANDS = re.findall(r"^    (curl .+?) +# (\d{3}) (.+)$", TEXT, re.MULTILINE)


def read(command: str, deliver: str) -> Any:
    """What a command asks for: the part of curl that is used there."""
    curl = argparse.ArgumentParser()
    curl.add_argument("url")
    curl.add_argument("-sS", action="store_true")
    curl.add_argument("-X", dest="method")
    curl.add_argument("-H", dest="headers", action="append", default=[])
    curl.add_argument("--data", "--data-binary", dest="data")
    words = Template(command).substitute(NODE="", TOKEN="custodian", ACCOUNT=FIRST, ISIN=ISIN)
    asked = curl.parse_args(shlex.split(words)[1:])
    asked.data = deliver if asked.data == "@deliver.xml" else asked.data
    asked.method = asked.method or ("GET" if asked.data is None else "POST")
    asked.headers = dict(header.split(": ", 1) for header in asked.headers)
    return asked


async def test_every_command_is_answered_as_the_text_says(nodes: Desk) -> None:
    assert len(COMMANDS) == TEXT.count("    curl ") > 12
    assert served(nodes.app) == described(document())
    deliver = delivery("M1")
    for command, status, content in COMMANDS:
        asked = read(command, deliver)
        async with asyncio.timeout(30):
            while True:  # what is read may not be there yet, as in the text
                answer = await nodes.ask(
                    asked.method, asked.url, token=None, headers=asked.headers, data=asked.data
                )
                text = await answer.text()
                assert answer.status == int(status), f"{command}: {text}"
                if content in text:
                    break
                assert asked.method == "GET" and status == "200", f"{command}: {text}"
                await asyncio.sleep(0.01)
