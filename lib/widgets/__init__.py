"""Widgets of the chapters: the state is plain Python and can be tested; the view is thin.

layout_state, layout_shapes, layout_checks   every edit of a label map, for scripts and for the editor
layout_editor                                paint a label map over its photo
studio, studio_subject, project              photo, editor and generated picture; saved as one file
desk, training_row, model_folder             a photo with its edits; its training; models kept for another day
picture_board                                before and after, earlier versions
blank_layout                                 an empty map to begin with
ranking, mos                                 studies with people: ranks, and opinion scores
sliders, field_explorer                      a picture that follows a few numbers
newest                                       slow work in a thread, where only the newest job counts
"""
