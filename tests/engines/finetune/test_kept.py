"""What each method trains comes back from disk: as an adapter on its base, merged, and from a checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from engines.hf.artifacts import checkpoint, keep
from engines.hf.artifacts.adapter import attach, save_trained
from engines.hf.finetune import adapted, apply, callback, parameter_groups
from engines.models import artifacts
from engines.models.artifacts import Made
from engines.models.lookup.trained import VIRTUAL_TOKENS
from engines.protocol.orders import ModelOrder, ResumeOrder, TechniqueOrder, Training
from engines.techniques import ModelFacts, find, techniques
from engines.techniques.model import Use
from tests.engines.finetune.kit import make

METHODS = [t.id for t in techniques("finetune") if t.id != "finetune.qlora"]
IDS = torch.arange(4, 28).view(2, 12)
STEPS = 8


class Run:
    """A method on a small model, trained by numbered batches with dropout where it has some."""

    def __init__(self, method: str) -> None:
        self.base = make("llama")
        self.model = copy.deepcopy(self.base)
        technique = find(method)
        assert technique is not None
        small = {"rank": 4, "start_rank": 8, "dropout": 0.1, "learning_rate": 0.02}
        known = technique.defaults()
        order = TechniqueOrder(id=method, parameters=known | {k: v for k, v in small.items() if k in known})
        apply(self.model, order, 5)
        self.optimiser = torch.optim.AdamW(parameter_groups(self.model, adapted(self.model).order, 0.02, 0.0))
        self.around = callback(self.model, STEPS)

    def steps(self, numbers: range) -> list[float]:
        self.model.train()
        found = []
        for number in numbers:
            loss = _logits(self.model, (IDS + number) % 96).logsumexp(-1).mean()
            loss.backward()
            if self.around is not None:
                self.around.before_step()
            self.optimiser.step()
            if self.around is not None:
                self.around.after_step(number)
            self.optimiser.zero_grad()
            found.append(float(loss.detach()))
        return found


def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return logits[:, -ids.shape[1] :]


def answers(model: PreTrainedModel | PeftModel) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return _logits(model, IDS)


@pytest.mark.filterwarnings("ignore:Adapter 'default'", "ignore:The following rank_pattern keys")  # of AdaLoRA
@pytest.mark.parametrize("method", METHODS)
def test_that_what_was_trained_comes_back_on_its_base_and_merged(method: str, tmp_path: Path) -> None:
    run = Run(method)
    run.steps(range(STEPS))
    save_trained(run.model, tmp_path)
    trained = answers(run.model)
    assert not torch.allclose(trained, answers(run.base), atol=1e-4)
    again = attach(copy.deepcopy(run.base), tmp_path)
    assert torch.allclose(answers(again), trained, atol=1e-5)
    if isinstance(again, PeftModel) and again.active_peft_config.is_prompt_learning:
        assert str(again.active_peft_config.peft_type.value) in VIRTUAL_TOKENS
        return
    merged, _ = keep.merged(copy.deepcopy(run.base), tmp_path)
    assert torch.allclose(answers(merged), trained, atol=1e-4)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "finetune.adalora"])
def test_that_a_checkpoint_continues_as_if_nothing_had_happened(method: str, tmp_path: Path) -> None:
    whole, again = Run(method), Run(method)
    whole.steps(range(4))
    base = ModelOrder(ref="m", title="m", kind="random")
    made = Made(artifact="checkpoint", trial="t", title="m", experiment_title="e", step=4, base=base)
    done = artifacts.write(tmp_path / "step-4", made, lambda d: checkpoint.save(whole.model, whole.optimiser, {}, d))
    rest = whole.steps(range(4, STEPS))
    order = ResumeOrder(trial="t", path=str(tmp_path / "step-4"), sha256=done.sha256, step=4)
    checkpoint.restore(order, again.model, again.optimiser)
    assert again.steps(range(4, STEPS)) == rest
    assert torch.equal(answers(again.model), answers(whole.model))


def test_that_adalora_is_not_resumed() -> None:
    adalora = find("finetune.adalora")
    assert adalora is not None
    facts = ModelFacts(kind="folder", architecture="llama", parameters=0, stored_bytes=0, stored_dtype="float32")

    def against(every: int) -> str | None:
        use = Use(adalora.defaults(), "precision.float32", Training(checkpoint_every=every))
        return adalora.conflict(facts, use)

    assert "checkpoints do not hold" in (against(1) or "")
    assert against(0) is None
