"""Procedural worlds: pictures drawn in torch on the device, each with its exact answer key."""
