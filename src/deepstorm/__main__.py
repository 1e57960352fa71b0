"""``python -m deepstorm`` is the command line."""

from deepstorm.cli import main

if __name__ == "__main__":
    main()
