"""What engines and their clients say to each other.

This package is the only part of `engines` (with `engines.techniques`) that upper floors import. It
needs msgspec and the standard library, nothing else, and runs in every process of the house.

- `orders`: what a client asks to be run.
- `records`: what a trial says while it runs; the same types on the pipe, in the spool and in tests.
- `messages`: requests and replies between a client and a runner.
- `codec`: JSON lines to and from these types; unknown record kinds survive the round trip.
- `places`: the folders and sockets of this user on this machine.
- `client`: a connection to a runner.
"""

PROTOCOL_VERSION = 2
"""Rises when an old reader could misread a new record. Adding a record kind or an optional field does not."""

LONGEST_LINE = 64 << 20
"""Bytes of one call, answer or record, at the most."""

MAGIC = "llm-workbench-runner"
"""First word of the first line of every runner connection; anything before it is a login banner."""
