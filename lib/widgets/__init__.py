"""Widgets of the chapters: the state is plain Python and can be tested; the view is thin."""
