"""The dummy engine as data."""

from engines.catalogue import EngineInfo

ENGINE = EngineInfo(
    id="dummy", title="Dummy", factory="llm_workbench_dummy.engine:DummyEngine", packages=("llm-workbench-dummy",)
)
