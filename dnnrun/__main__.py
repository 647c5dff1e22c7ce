"""`python -m dnnrun`."""

from dnnrun.cli.app import main

main()
