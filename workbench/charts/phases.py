"""What the phases of a trial are called, wherever they are drawn or named. Pure."""

from __future__ import annotations

TITLES = {
    "warmup": "warm-up",
    "prefill_energy": "prefills alone",
    "adapt": "method",
}
"""Where they are not called as the protocol calls them."""

SENTENCES = {"convert": "making the model file", "adapt": "applying the fine-tuning method"}
"""What a trial is doing, where its worker says nothing itself."""


def phase_title(phase: str) -> str:
    """ "warm-up" for "warmup"; a phase nobody knows has its own name."""
    return TITLES.get(phase, phase)


def doing(text: str, phase: str) -> str:
    """What a running trial does, for a line about it: the worker's own words, else its phase."""
    return text or SENTENCES.get(phase, phase_title(phase))
