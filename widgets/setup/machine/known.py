"""The machines that Setup offers, from the list the user keeps and what has been heard of each. Main thread."""

from __future__ import annotations

from engines.protocol.messages import ProbeResult
from widgets.parts.link_state import link_state
from widgets.setup.machine.rows import Known
from widgets.shell.services import Services
from workbench.machines.machine import THIS_COMPUTER, MachinesError, machines


def known_machines(services: Services, here: ProbeResult) -> tuple[Known, ...]:
    """This computer, of which `here` is known, then the others."""
    try:
        added = machines(services.places)[1:]
    except MachinesError:  # the Machines page and the plan say so
        added = ()
    bridge = services.bridge
    found = []
    for machine, probe in ((THIS_COMPUTER, here), *((m, bridge.probes.get(m.id)) for m in added)):
        state, status = link_state(machine.id, bridge.links.get(machine.id), answered=probe is not None)
        found.append(Known(machine.id, machine.title, probe, state, status))
    return tuple(found)
