"""python -m cosface_cli: the same as the command cosface."""

from cosface_cli.app import main

if __name__ == "__main__":
    main()
