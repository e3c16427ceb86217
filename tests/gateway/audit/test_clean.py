"""A system that nothing was done to has no finding."""

from gateway.audit.findings import Check, lines
from tests.gateway.audit.day import Copy


async def test_an_untouched_system_has_no_finding(copy: Copy) -> None:
    report = await copy.audit()
    assert lines(report.findings) == []
    assert report.clean and report.findings_total == 0
    assert {row.check for row in report.checked} == set(Check)
    assert all(row.count for row in report.checked if row.check is not Check.OVERDUE)
    print(report)
