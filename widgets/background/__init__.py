"""Work off the main thread and what it says: the bridge, bundles, the demo, disk use."""
