"""Data: photos with layouts, procedural worlds, augmentation."""
