"""Active currencies and their minor units (ISO 4217 list one; date and source in `iso4217.txt`)."""

from functools import cache
from importlib.resources import files


@cache
def _active() -> dict[str, int]:
    text = files("protocols.iso20022").joinpath("iso4217.txt").read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {code: int(decimals) for code, decimals in lines}


def minor_units(currency: str) -> int | None:
    """Decimals of a currency's minor unit (EUR 2, JPY 0, BHD 3); None if it is not active."""
    return _active().get(currency)
