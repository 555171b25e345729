"""Float weights stored as int8 codes: the same model in a new, shorter file."""
