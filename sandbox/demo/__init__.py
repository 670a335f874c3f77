"""The try-out: both stand-ins and a real bot in one go, typed by a person at a terminal or walked through by itself.

The bot is only ever a process of its own with settings in its environment; nothing of it is imported.
"""
