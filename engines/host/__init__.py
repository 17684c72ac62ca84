"""What this computer is and has: processors, devices, neighbours, environment."""
