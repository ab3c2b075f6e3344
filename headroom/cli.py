"""``headroom``: the operator's command, put together from the modules beside this one."""

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from headroom import dead_letters, keys, load, migrate, plan, recalibrations, topics, triggers
from headroom.asyncapi import asyncapi
from headroom.backtest import backtest
from headroom.demo.command import demo
from headroom.doctor import doctor
from headroom.door import Refused
from headroom.rebuild import rebuild
from headroom.up import up
from headroom.what_if import what_if
from shared.errors import ConfigurationError, HeadroomError, NotReady


def _version(asked: bool) -> None:
    if asked:
        print(f"headroom {version('headroom')}")
        raise typer.Exit


EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "an error: what was given, or what was found, cannot be used",
    2: "wrong usage, or a setting that is wrong",
    3: "done, and the answer is no: rows rejected, a test failed, a problem found",
    4: "the key may not do this",
    5: "what is needed does not answer yet: try again later",
    130: "stopped by Ctrl-C",
}

app = typer.Typer(
    name="headroom",
    epilog="Exit codes: " + "; ".join(f"{code} {means}" for code, means in EXIT_CODES.items()) + ".",
    help="A living constraint model between a sales plan and what the company can deliver.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _headroom(
    shown: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
    ] = False,
) -> None:
    """A living constraint model between a sales plan and what the company can deliver."""


app.command("up")(up)
app.command("demo")(demo)
app.command("migrate")(migrate.migrate)
app.command("asyncapi")(asyncapi)
app.command("doctor")(doctor)
app.command("rebuild")(rebuild)
app.command("backtest")(backtest)
app.command("what-if")(what_if)
app.add_typer(plan.app, name="plan")
app.add_typer(load.app, name="load")
app.add_typer(triggers.app, name="triggers")
app.add_typer(recalibrations.app, name="recalibrations")
app.add_typer(topics.app, name="topics")
app.add_typer(keys.app, name="keys")
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Run the command; ``EXIT_CODES`` says what it ends with."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it would say is in the errors
    try:
        app()
    except HeadroomError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(exit_code(error))


def exit_code(error: HeadroomError) -> int:
    """The exit code that tells scripts what kind of error ended the command."""
    if isinstance(error, Refused):
        return error.exit_code
    if isinstance(error, NotReady):
        return 5
    return 2 if isinstance(error, ConfigurationError) else 1
