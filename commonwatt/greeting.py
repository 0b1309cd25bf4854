"""What `commonwatt up` says when everything runs: where it is, and what to do next."""

import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from commonwatt.settings import Settings
from commonwatt.up import Addresses, Demo


def greet(addresses: Addresses, demo: Demo, data_dir: Path) -> None:
    """Print the addresses; the links carry tokens in their fragments, which no server sees."""
    url = addresses.url
    home, member, operator = demo
    rows = (
        ("Watch", f"{url}/watch/" + (f"#home={home}&token={member}" if member else "")),
        *((("Device", f"{url}/device#token={member}"),) if member else ()),
        ("Community", f"{url}/community/" + (f"#token={operator}" if operator else "")),
        ("GraphiQL", f"{url}/graphql" + (f"#token={operator}" if operator else "")),
        ("Health", f"{url}/health"),
        ("Ready", f"{url}/ready"),
        ("Metrics", f"{url}/metrics"),
        ("NATS", addresses.nats),
        ("MQTT", addresses.mqtt),
    )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print("\n[bold]Commonwatt is up.[/bold] Ctrl-C ends it.\n", markup=True)
    for what, where in rows:
        console.print(Text.assemble((f"{what:<10}", "bold"), where))
    if member:
        console.print(f"\nFor a day the links sign in: the first two as home {home}, the others as the operator.")
    console.print("\nIn another terminal:\n")
    this = _this_program()
    if member:
        community, _, name = home.partition(".")
        issue = [this, "token", "issue", "--role", "member", "--community", community, "--home", name]
        if data_dir != Settings.model_fields["data_dir"].default:
            issue += ["--data-dir", str(data_dir)]
        console.print(f"  export COMMONWATT_TOKEN=$({shlex.join(issue)})")
    console.print("  " + shlex.join([this, "watch", "--url", url, "--home", home]) + "\n")


def _this_program() -> str:
    """Return how a person in this directory calls the program that runs."""
    path = Path(sys.argv[0])
    if path.name != "commonwatt":
        return "commonwatt"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
