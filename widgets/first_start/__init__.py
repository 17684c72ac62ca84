"""The first start: what Setup shows until something was measured. Main thread."""
