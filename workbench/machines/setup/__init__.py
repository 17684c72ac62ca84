"""Setting up another machine: the engines of this very version and what they need, without root."""
