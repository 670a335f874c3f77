"""`python -m bot` is `cinecord`."""

from bot.cli import main

if __name__ == "__main__":
    main()
