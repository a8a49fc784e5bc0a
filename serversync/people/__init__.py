"""Who may come in and what is noted of it: shipped roles, second factor, throttling, sessions, audit."""
