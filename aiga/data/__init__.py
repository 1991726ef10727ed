"""Data sets: real ones where they are, else ones that we make, and always said which."""
