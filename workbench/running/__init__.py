"""Running and following: the Workbench object, the follower, intake, recomputation."""
