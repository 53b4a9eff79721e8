"""C{python -m papa} is the papa command."""

from papa.cli.main import main

if __name__ == "__main__":
    main()
