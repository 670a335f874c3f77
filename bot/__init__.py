"""The service without Discord's user interface: settings, the model, money, the queue, bytes, HTTP."""
