"""How much load a server holds: trials at levels of it, and what they tell; knows nothing of servers."""
