"""What a GPU alone can answer, in the few minutes that one is at hand: `python -m benchmarks.on_gpu`.

    python -m benchmarks.on_gpu --minutes 8 --to FOLDER
    python -m benchmarks.on_gpu --minutes 2 --to FOLDER --rehearse

Seven parts in order of worth, each in a process of its own with a share of the time that is left: one that hangs or
dies takes nothing from the others. `report.json`, `report.md` and the records of every trial are in FOLDER after each
part, so a run that is killed leaves what it had. No setting of the GPU is changed. `--rehearse` runs the same parts on
the processor with a tiny model and a scripted NVML (from tests/).

It needs torch, transformers, accelerate, for adapters peft, and three more: msgspec, platformdirs and nvidia-ml-py;
no Qt, no database, no network. Without them on the machine, carry them in a folder (any pip makes it):

    pip install --target carried --no-deps --only-binary=:all: --python-version 3.12 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 msgspec platformdirs nvidia-ml-py

and run with `PYTHONPATH=carried`. What a missing package makes impossible is not available and says so: precisions of
torchao and bitsandbytes, some verdicts without scipy. docs/results/gpu/README.md says what each part answers.

`schedule` shares out the time, `report` is what is written, `notes` what a part writes into, `setting` where it runs;
`nvml`, `stamps`, `shape`, `finetuning`, `templates`, `telemetry` and `cooling` are the parts.
"""
