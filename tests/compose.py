"""What docker-compose.yml and the Dockerfile say, and their services run without Docker.

A container becomes a folder with the volumes linked in at their places; its command and its
environment are those of the file, with paths, ports and the host name of NATS replaced.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bus.broker import find_binary, free_port
from tests.commonwatt.tree import environment

ROOT = Path(__file__).resolve().parent.parent
COMPOSE_FILE = "docker-compose.yml"
METERS_FILE = "deploy/compose.meters.yml"
LAN_FILE = "deploy/compose.lan.yml"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / COMPOSE_FILE).read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
FURTHER: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / METERS_FILE).read_text("utf-8"))["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    """Return what follows an instruction's name in the Dockerfile, wherever it occurs."""
    return re.findall(rf"^\s*{name}\s+(.*)$", DOCKERFILE, re.MULTILINE)


def variables() -> dict[str, str]:
    """Return the environment of the image."""
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in line.split())


def image_settings() -> dict[str, str]:
    """Return the settings of Commonwatt in the environment of the image."""
    return {name: value for name, value in variables().items() if name.startswith("COMMONWATT_")}


def plain(text: str) -> str:
    """Return a value of the compose file with its own defaults put in."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


class Containers:
    """The services, as processes on free ports; with a folder `tls`, as deploy/compose.meters.yml changes them."""

    def __init__(self, directory: Path, *, tls: Path | None = None) -> None:
        self._directory = directory
        self._further = {} if tls is None else FURTHER
        self._ports = {number: free_port() for number in (4222, 8222, 1883, 8883, 9090, 9102, 8000)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for name, service in SERVICES.items():
            further: list[str] = self._further.get(name, {}).get("volumes", [])
            # By where it is mounted, as compose does: the later file replaces what the first one mounts there.
            for target, source in {mount.split(":")[1]: mount for mount in (*service["volumes"], *further)}.items():
                source = source.split(":")[0]
                at = self.path(name, target)
                at.parent.mkdir(parents=True, exist_ok=True)
                if source.startswith("./deploy/tls"):
                    assert tls is not None
                    at.symlink_to(tls / source.removeprefix("./deploy/tls").lstrip("/"))
                elif source.startswith("./"):
                    at.write_text(self._here(name, (ROOT / source).read_text("utf-8")), "utf-8")
                else:
                    volume = directory / "volumes" / source
                    volume.mkdir(parents=True, exist_ok=True, mode=0o700)
                    at.symlink_to(volume)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self._ports[8000]}"

    @property
    def nats_url(self) -> str:
        """The address of NATS."""
        return f"{'tls' if self._further else 'nats'}://127.0.0.1:{self._ports[4222]}"

    @property
    def mqtt_port(self) -> int:
        """Where it listens for MQTT; with TLS where meters are let in."""
        return self._ports[8883 if self._further else 1883]

    def path(self, service: str, inside: str) -> Path:
        """Return where a path inside a container lies."""
        return self._directory / service / inside.lstrip("/")

    def log(self, service: str) -> str:
        """Return what a service wrote."""
        return (self._directory / f"{service}.log").read_text("utf-8")

    def start(self, service: str) -> None:
        """Start a service with its own command."""
        with (self._directory / f"{service}.log").open("ab") as log:
            self._running[service] = subprocess.Popen(
                self._command(service, SERVICES[service]["command"]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(service),
            )

    def run(self, service: str, *words: str, stdin: str = "") -> str:
        """Run a command of `commonwatt` as a service does, or its own; return what it prints."""
        done = subprocess.run(
            self._command(service, words or SERVICES[service]["command"]),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=self._environment(service),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def signal(self, service: str, how: signal.Signals) -> None:
        """Send a service a signal."""
        self._running[service].send_signal(how)

    def end(self) -> None:
        """End whatever runs."""
        for process in self._running.values():
            process.kill()
            process.wait(10)

    def _command(self, service: str, words: Sequence[str]) -> list[str]:
        here = [self._here(service, word) for word in words]
        if SERVICES[service]["image"] == "commonwatt":
            return [sys.executable, "-m", "commonwatt", *here]
        return [str(find_binary()), *here[1:]]

    def _environment(self, service: str) -> dict[str, str]:
        own: Mapping[str, str] = image_settings() | SERVICES[service].get("environment", {})
        own = {**own, **self._further.get(service, {}).get("environment", {})}
        # Listening on all addresses is for a network of the container's own.
        given = {name: self._here(service, plain(value)) for name, value in own.items()}
        return environment(**given | {"COMMONWATT_HOST": "127.0.0.1"})

    def _here(self, service: str, text: str) -> str:
        for number, port in self._ports.items():
            text = re.sub(rf"(?<!\d){number}(?!\d)", str(port), text)
        text = text.replace("//nats:", "//127.0.0.1:").replace("0.0.0.0", "127.0.0.1")
        return re.sub(r'(?<![\w/:.])(/(?:srv|var|etc|data)\b[^"\s]*)', lambda found: self._inside(service, found), text)

    def _inside(self, service: str, found: "re.Match[str]") -> str:
        return str(self.path(service, found[1]))
