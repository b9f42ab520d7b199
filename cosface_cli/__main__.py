"""python -m cosface_cli: the same as the command cosface."""


def main() -> None:
    """The command cosface."""
    from cosface_cli.app import main as run  # not above: the worker processes import this file too

    run()


if __name__ == "__main__":
    main()
