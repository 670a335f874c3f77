"""What people touch: commands, buttons, modals, and the dispatcher that works off each guild's queue."""
