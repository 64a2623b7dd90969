"""What a model did when it was last found good enough, kept in a file, and whether the next one does worse.

Files are read and written without anything heavy, as those processes of pytest do that audit no model.
"""
