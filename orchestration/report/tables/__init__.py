"""From answers to tables for people, and their writing in six formats. Pure."""
