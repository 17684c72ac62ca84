"""What runs on the machine under test: runner, worker, telemetry and the engines themselves."""
