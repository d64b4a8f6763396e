"""Running a sweep elsewhere: submitting it, following it, and taking it up again."""
