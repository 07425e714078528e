"""The h2spec program."""

from pathlib import Path

from localcluster.goprogram import GoProgram

PROGRAM = GoProgram("h2spec", Path(__file__).parent, "github.com/summerwind/h2spec/cmd/h2spec", "1.24.0")
