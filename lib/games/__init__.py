"""The systems of the book, one module each: its networks wired together and the rules of one round."""
