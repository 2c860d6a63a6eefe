"""Everything that moves weights: the one training loop, its safety net, checkpoints and live curves."""
