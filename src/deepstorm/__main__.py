"""``python -m deepstorm`` is the command line."""

from deepstorm.cli.app import main

if __name__ == "__main__":
    main()
