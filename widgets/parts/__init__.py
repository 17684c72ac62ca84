"""What pages share: components, labels, trees with ticks, exports. Main thread."""
