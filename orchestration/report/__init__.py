"""Numbers for people: tables in six formats, figures, and the page that holds them."""
