"""Ray itself: a session, tasks over cases, submitted jobs, a head that goes away."""
