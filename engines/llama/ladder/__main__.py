"""`python -m engines.llama.ladder --model JSON --to Q4_K_M,... [--list] [--progress-json]`: GGUF files in advance."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

import msgspec

from engines.llama.ladder.files import cached_file, local_source, make_files
from engines.llama.ladder.lines import Failed, Line, Made, Step, say
from engines.protocol.orders import ModelOrder
from engines.protocol.places import places
from engines.protocol.streams import take_any_text
from engines.techniques.gguf import LADDER
from engines.worker.failures import WorkerFailure


def made_already(model: ModelOrder) -> list[Made]:
    """The files of this model that are there, the widest first. Raises `WorkerFailure`."""
    local = local_source(model, allow_network=False)
    if local is None and model.kind != "random":
        return []
    found: list[Made] = []
    for name in ("F32", "BF16", *LADDER):
        file = cached_file(places(), model, local, name)
        facts = file.facts()
        if facts is not None:
            found.append(Made(name, str(file.path), facts))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 the files are there, 1 one could not be made, 130 interrupted."""
    take_any_text()
    parser = argparse.ArgumentParser(prog="python -m engines.llama.ladder", description="Make GGUF files in advance.")
    parser.add_argument("--progress-json", action="store_true", help="one JSON object a line")
    parser.add_argument("--model", required=True, help="a ModelOrder as JSON")
    parser.add_argument("--to", default=",".join(LADDER), help="types, with commas between (default: all)")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: as many as there are)")
    parser.add_argument("--network", action="store_true", help="a hub model may be fetched")
    parser.add_argument("--list", action="store_true", help="tell what is there; make nothing")
    options = parser.parse_args(arguments)
    model = msgspec.json.decode(options.model, type=ModelOrder)

    def tell(line: Line, plain: str) -> None:
        if options.progress_json:
            say(line)
        else:
            sys.stdout.write(f"{plain}\n")

    def report(text: str, share: float) -> None:
        tell(Step(text, share), f"{share:4.0%}  {text}")

    before = {number: signal.signal(number, _interrupted) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        if options.list:
            made = made_already(model)
        else:
            types = tuple(options.to.split(","))
            made = [*make_files(model, types, options.threads, report, allow_network=options.network).values()]
        for file in made:
            tell(file, f"{file.type}  {file.path}")
    except WorkerFailure as failure:
        tell(Failed(failure.kind, failure.message, failure.advice), f"{failure.message}\n{failure.advice}")
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _interrupted(_signum: int, _frame: FrameType | None) -> None:
    # Ctrl-C reaches everybody at the terminal, and whoever started this then says so once more: clearing up goes on
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
