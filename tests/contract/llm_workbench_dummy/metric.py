"""A metric of its own."""

from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import TrialRecords


def _switched(records: TrialRecords) -> Value | NotAvailable:
    told = records.environment.get("dummy.axis")
    return Value(float(told == "dummy_axis.on"), method="counted") if told else NotAvailable("Not the dummy engine.")


METRICS = (
    Metric(
        id="dummy_switched",
        title="Dummy switched",
        definition="1 where the dummy axis is on.",
        unit="count",
        better="neither",
        window="whole trial",
        version=1,
        compute=_switched,
    ),
)
