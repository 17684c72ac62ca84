"""The dummy engine as data."""

from engines.catalogue import EngineInfo
from engines.protocol.settings import Setting

ENGINE = EngineInfo(
    id="dummy",
    title="Dummy",
    factory="llm_workbench_dummy.engine:DummyEngine",
    works=("inference", "counting"),
    techniques=("dummy_axis.off", "dummy_axis.on", "precision.float32"),
    packages=("llm-workbench-dummy",),
    settings=(Setting("dummy_level", "Dummy level", type="int", default=1, minimum=0, maximum=9, help="How dumb"),),
)
