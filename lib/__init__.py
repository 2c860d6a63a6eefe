"""The library behind *Drawing by Analogy*: every chapter imports its code from here."""
