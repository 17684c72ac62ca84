"""What computers have, lack and were like: facts, installing, environments."""
