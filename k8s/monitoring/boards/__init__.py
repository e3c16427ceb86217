"""The four dashboards by the names of their files."""

from typing import Final

from k8s.monitoring.boards.internals import INTERNALS
from k8s.monitoring.boards.ledgers import LEDGERS
from k8s.monitoring.boards.registries import REGISTRIES
from k8s.monitoring.boards.settlement import SETTLEMENT

DASHBOARDS: Final = {
    "settlement": SETTLEMENT,
    "ledgers": LEDGERS,
    "registries": REGISTRIES,
    "gateway-internals": INTERNALS,
}
