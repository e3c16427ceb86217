"""`python -m k8s.monitoring`: write rules and dashboards into this folder."""

from k8s.monitoring.writing import FOLDER, files


def main() -> None:
    """The command."""
    for name, content in files().items():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


if __name__ == "__main__":
    main()
