"""`python -m teamaccess` is the command `teamaccess`."""

from teamaccess.cli.main import app

app()
