"""Energy and what follows from it: measured, net of the idle level, at the wall, estimated. Pure."""
