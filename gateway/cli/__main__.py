"""`python -m gateway.cli`: the command without its installed script."""

from gateway.cli import main

if __name__ == "__main__":
    main()
