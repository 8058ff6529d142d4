"""The files that put the program on machines agree with it: its settings, commands, ports, queues and limits."""

import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from gunicorn.config import Config

from billing.webhook import LARGEST_BODY
from billing_project.celery import app
from tests.test_documentation import check_celery, check_python, settings_read

PROJECT = Path(__file__).resolve().parent.parent
DEPLOY = PROJECT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("clinic-billing")}
UNITS = {path.name: path.read_text(encoding="utf-8") for path in sorted((DEPLOY / "systemd").iterdir())}
NGINX = re.sub(r"(?m)^\s*#.*$|(?<=[;{}])\s*#.*$", "", (DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
SERVED = yaml.safe_load(re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])


def commands() -> dict[str, list[str]]:
    """Every command line of ours, by where it stands."""
    found = {f"compose {name}": service.get("command", SERVED) for name, service in OURS.items()}
    for name, text in UNITS.items():
        for line in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE):
            found[name] = shlex.split(line)
    return found


# --- What is started ---
@pytest.mark.parametrize("where", commands())
def test_every_command_is_one_of_ours_with_options_that_it_knows(where):
    program, *arguments = commands()[where]
    program = Path(program).name
    if program == "celery":
        check_celery(arguments)
    elif program == "gunicorn":
        Config().parser().parse_args(arguments)
        assert "billing_project.wsgi:application" in arguments
    else:
        assert program == "python"
        check_python(arguments)


def served_queues(lines: list[list[str]]) -> set[str]:
    return {word for line in lines for option, word in pairwise(line) if option == "--queues"}


def test_together_the_workers_serve_every_queue_and_every_task_has_one():
    declared = set(app.amqp.queues)
    assert served_queues([service.get("command", []) for service in OURS.values()]) == declared
    page = (PROJECT / "docs/operations/deployment.md").read_text(encoding="utf-8")
    assert set(re.findall(r"clinic-billing-worker@(\w+)", page)) == declared
    app.loader.import_default_modules()
    tasks = {name for name in app.tasks if name.startswith("billing.")}
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= tasks
    assert set(app.conf.task_routes) <= tasks
    assert {app.amqp.router.route({}, name)["queue"].name for name in tasks} == declared
    # Two queues of one key would both get each message.
    assert {queue.routing_key for queue in app.amqp.queues.values()} == declared


def test_what_stripe_waits_for_never_waits_behind_an_hour_of_comparing_books():
    queue_of = {name: app.amqp.router.route({}, f"billing.tasks.{name}")["queue"].name for name in (
        "deliver_outbox", "process_stripe_events", "checkpoint_audit", "run_billing", "reconcile_all", "rebuild_books"
    )}  # fmt: skip
    assert [name for name, queue in queue_of.items() if queue == "delivery"] == [
        "deliver_outbox", "process_stripe_events", "checkpoint_audit"
    ]  # fmt: skip


# --- Settings, addresses, limits ---
def test_only_settings_that_exist_are_set():
    for service in OURS.values():
        assert set(service.get("environment", {})) <= set(settings_read())
    comment = (DEPLOY / "compose.yaml").read_text(encoding="utf-8").partition("\nname:")[0]
    assert set(re.findall(r"\b([A-Z]+_[A-Z_]+)\b", comment)) - {"POSTGRES_PASSWORD"} <= set(settings_read())


def test_the_broker_and_the_rate_limit_are_two_redis_databases_of_the_service_that_is_there():
    environment = COMPOSE["x-app"]["environment"]
    broker, cache = environment["CELERY_BROKER_URL"], environment["CACHE_URL"]
    assert {url.split("://")[1].split(":")[0] for url in (broker, cache)} == {"redis"} <= set(SERVICES)
    assert broker.rsplit("/", 1)[1] != cache.rsplit("/", 1)[1]


def test_the_proxy_is_the_one_that_is_trusted_and_it_asks_where_the_program_listens():
    address = SERVICES["proxy"]["networks"]["outside"]["ipv4_address"]
    assert COMPOSE["x-app"]["environment"]["TRUSTED_PROXIES"] == address
    (port,) = re.findall(r"server web:(\d+)", NGINX)
    assert f"0.0.0.0:{port}" in SERVED
    assert f"EXPOSE {port}\n" in DOCKERFILE
    assert f":{port}/healthz" in DOCKERFILE
    assert f"ListenStream=127.0.0.1:{port}" in UNITS["clinic-billing-web.socket"]


def test_the_proxy_says_https_and_who_asks_and_lets_no_client_say_it():
    headers = dict(re.findall(r"proxy_set_header\s+(\S+)\s+(\S+);", NGINX))
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["X-Forwarded-For"] == "$remote_addr"
    assert headers["X-Forwarded-Host"] == headers["Forwarded"] == '""'
    assert len(re.findall(r"proxy_set_header", NGINX)) == len(headers)  # a second one in a location would drop these


def test_the_proxy_refuses_what_the_program_would_and_no_less():
    sizes = [int(number) * {"k": 1024, "m": 1024**2}[unit] for number, unit in re.findall(
        r"client_max_body_size\s+(\d+)([km]);", NGINX)]  # fmt: skip
    assert sizes == [settings.DATA_UPLOAD_MAX_MEMORY_SIZE, LARGEST_BODY]
    assert "location = /metrics { return 404; }" in NGINX


def test_no_log_of_the_proxy_holds_a_path_a_query_or_an_address():
    (told,) = re.findall(r"log_format\s(.*?);", NGINX, re.DOTALL)
    assert set(re.findall(r"\$(\w+)", told)) == {
        "time_iso8601", "area", "request_method", "status", "body_bytes_sent", "request_time", "upstream_response_time"
    }  # fmt: skip
    assert re.findall(r"access_log\s+\S+\s+(\w+);", NGINX) == ["facts"]
    assert re.findall(r"error_log\s+\S+\s+(\w+);", NGINX) == ["emerg"]  # any other level writes the request line


# --- Least privilege ---
@pytest.mark.parametrize("name", SERVICES)
def test_no_container_can_write_its_root_or_gain_a_privilege(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert set(service.get("cap_add", [])) == set() or name in {"proxy", "postgresql"}
    assert bool(service.get("ports")) == (name == "proxy")


def test_only_migrations_know_the_owner_of_the_tables():
    assert {name for name, service in OURS.items() if "owner.env" in service["env_file"]} == {"migrate"}
    assert {name for name, text in UNITS.items() if "owner.env" in text} == {"clinic-billing-migrate.service"}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert all(SERVICES[name]["networks"] == ["inside"] for name in ("postgresql", "redis"))


def test_the_image_holds_the_program_and_nothing_else():
    copied = {word for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]}
    assert all((PROJECT / word).exists() for word in copied)
    assert {name.split(".")[0] for name in settings.INSTALLED_APPS if (PROJECT / name.split(".")[0]).is_dir()} <= copied
    assert not copied & {"tests", "bench", "docs", "var", ".env", "."}
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n") if line[:1] == "!"}
    assert allowed == copied
    assert re.search(r"^USER billing$", DOCKERFILE, re.MULTILINE)


HARDENED = (
    "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "PrivateTmp=yes", "ProtectHome=yes",
    "RestrictSUIDSGID=yes", "SystemCallFilter=@system-service", "UMask=0077", "User=clinic-billing",
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_no_unit_runs_as_root_or_writes_outside_its_folder(name):
    lines = UNITS[name].splitlines()
    assert [line for line in HARDENED if line not in lines] == []
    assert re.findall(r"^ReadWritePaths=(.*)$", UNITS[name], re.MULTILINE) == ["/var/lib/clinic-billing"]
    assert not re.search(r"^Environment=.*(KEY|SECRET|PASSWORD)", UNITS[name], re.MULTILINE)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_understands_every_unit(tmp_path):
    for name, text in UNITS.items():
        there = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
        (tmp_path / name.replace("@.", "@delivery.")).write_text(there)
    files = sorted(tmp_path.iterdir())
    ran = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=False)
    assert [line for line in ran.stderr.splitlines() if "clinic-billing" in line] == []


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_nginx_understands_its_configuration(tmp_path):
    shutil.copy("/etc/nginx/mime.types", tmp_path)
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "1"]
    subprocess.run(
        [*request, "-keyout", tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem"],
        check=True,
        capture_output=True,
    )
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8").replace("server web:", "server 127.0.0.1:")
    text = (
        text.replace("/etc/nginx/tls", str(tmp_path))
        .replace("/etc/nginx", str(tmp_path))
        .replace("/var/run", str(tmp_path))
    )
    (tmp_path / "nginx.conf").write_text(text)
    ran = subprocess.run(
        ["nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
