"""`python -m tidegate_conformance`."""

from tidegate_conformance.command import main

if __name__ == "__main__":
    main()
