"""`cinecord`, and `python -m bot`.

The command line is imported late: the decoders' worker processes import the main script again, and must stay small.
"""


def main() -> None:
    """The entry point."""
    from bot.cli import main as command_line  # noqa: PLC0415 - see above

    command_line()


if __name__ == "__main__":
    main()
