"""What is handed out with an export and must run without the rest of the program."""
