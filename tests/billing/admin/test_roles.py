"""The table of roles is what the database says and what the console does, cell by cell."""

from functools import cache

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.urls import NoReverseMatch, reverse

from billing.admin.roles import ACTIONS, ADDRESSES, LETTERS, VIEW, permissions_by_role
from billing.models import Role
from tests.billing.admin.conftest import detail_address, list_address
from tests.staff import logged_in, member

STANDARD = {"changelist", "add", "history", "delete", "change"}
REFUSED = 403


def held(role):
    rows = Permission.objects.filter(group__name=role).values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows}


@cache
def pages():
    return {f"{model._meta.app_label}.{model._meta.model_name}": model for model in admin.site._registry}


def own_addresses():
    """Return the names of all addresses beyond list, row, add, change, delete and history."""
    names = {url.name for page in admin.site._registry.values() for url in page.get_urls() if getattr(url, "name", "")}
    return {name for name in names if name.rpartition("_")[2] not in STANDARD}


# --- The table is complete, and the database says the same ---
@pytest.mark.django_db
@pytest.mark.parametrize("role", Role)
def test_the_database_gives_each_role_what_the_table_says(role):
    assert held(role) == permissions_by_role()[role]


@pytest.mark.django_db
def test_the_roles_are_the_groups():
    assert set(Group.objects.values_list("name", flat=True)) == set(Role.values) == set(LETTERS.values())


def test_every_page_and_every_address_of_the_console_is_in_the_table():
    assert set(pages()) - set(VIEW) == set()
    assert own_addresses() == set(ADDRESSES)


def test_no_page_has_an_action_that_the_table_cannot_name():
    for page in admin.site._registry.values():
        leading_to = {f"{page.opts.app_label}_{page.opts.model_name}_{_plain(name)}" for name in page.actions or ()}
        assert leading_to <= set(ADDRESSES), page
        for kind in ("actions_list", "actions_row", "actions_submit_line"):
            assert not getattr(page, kind, ()), page


def _plain(name):
    """Return the name of the address that an action of a list leads to: `close_ticked` to `…_closeticked`."""
    return name.replace("_", "")


@pytest.mark.parametrize("role", Role)
def test_a_list_offers_each_role_the_actions_that_the_table_gives_it(books, role):
    client = logged_in(member("somebody", role))
    for model, page in admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        listed = client.get(list_address(model)) if page.actions else None
        if listed is None or listed.status_code == REFUSED:
            continue
        offered = listed.context["action_form"]
        offered = [] if offered is None else [value for value, _words in offered.fields["action"].choices if value]
        allowed = [each for each in page.actions if ADDRESSES[f"{name}_{_plain(each)}"] in permissions_by_role()[role]]
        assert offered == allowed, role


def test_every_permission_in_the_table_is_one_that_a_model_declares():
    for action in ACTIONS:
        app, model, codename = action.split(".")
        options = apps.get_model(app, model)._meta
        by_default = {f"{what}_{model}" for what in options.default_permissions}
        assert codename in by_default | set(dict(options.permissions)), action
    declared = {
        f"{model._meta.app_label}.{codename}"
        for app in ("audit", "offices", "patients", "billing")
        for model in apps.get_app_config(app).get_models()
        for codename, _name in model._meta.permissions
    }
    listed = {f"{action.split('.')[0]}.{action.split('.')[2]}" for action in ACTIONS}
    assert declared <= listed
    viewed = {"{}.view_{}".format(*page.split(".")) for page in VIEW}
    assert set(ADDRESSES.values()) <= listed | viewed


@pytest.mark.django_db
def test_a_permission_has_the_name_that_django_would_give_it():
    """Or one that is added by hand and one that Django adds would stand side by side."""
    from django.contrib.auth.management import create_permissions

    before = set(Permission.objects.values_list("content_type__app_label", "codename", "name"))
    for app in ("audit", "offices", "patients", "billing", "auth"):
        create_permissions(apps.get_app_config(app), verbosity=0)
    assert set(Permission.objects.values_list("content_type__app_label", "codename", "name")) == before
    for model in pages().values():
        options = model._meta
        if "view" in options.default_permissions:
            codename = f"view_{options.model_name}"
            permission = Permission.objects.get(content_type__app_label=options.app_label, codename=codename)
            assert permission.name == f"Can view {options.verbose_name_raw}"


def test_nobody_both_asks_and_decides():
    for permissions in permissions_by_role().values():
        assert not {"billing.request_correction", "billing.approve_correction"} <= permissions


def test_whoever_sees_no_accounts_sees_nothing_about_them():
    for role in (Role.VIEWER, Role.OPERATOR):
        assert not [each for each in permissions_by_role()[role] if each.startswith("patients.") or "lineitem" in each]


# --- The console does what the table says ---
@pytest.mark.parametrize("role", Role)
def test_each_cell_of_the_table_over_http(books, role):
    client, letter = logged_in(member("somebody", role)), {value: key for key, value in LETTERS.items()}[role]
    wrong = []
    for page, model in pages().items():
        expected = 200 if letter in VIEW[page] else REFUSED
        detail = detail_address(model)
        for address in (list_address(model), detail):
            if client.get(address).status_code != expected:
                wrong.append((address, expected))
        wrong += [each for each in _attempts(client, list_address(model), detail) if each[1] != REFUSED]
    assert wrong == []


def _attempts(client, listed, detail):
    """Try to add, change and delete by hand; return what each try was answered."""
    for address in (f"{listed}add/", detail, detail.replace("/change/", "/delete/")):
        yield address, client.post(address, {"post": "yes", "name": "changed"}).status_code


@pytest.mark.parametrize("role", Role)
def test_each_address_beyond_the_pages_over_http(books, role):
    client = logged_in(member("somebody", role))
    for name, permission in ADDRESSES.items():
        status = client.get(_address(name), follow=True).status_code
        allowed = permission in permissions_by_role()[role]
        # A grant that is somebody else's is not there, 404: what matters is that the door is open.
        assert (status == REFUSED) is not allowed, (name, status)


def _address(name):
    try:
        return reverse(f"admin:{name}")
    except NoReverseMatch:
        app, model, _action = name.split("_", 2)
        column = "prefix" if model.endswith("apikey") else "pk"
        key = apps.get_model(app, model).objects.values_list(column, flat=True).first()
        if name == "billing_invoice_ask":
            return reverse(f"admin:{name}", args=[key, "cancel"])
        if name.endswith("_ask"):
            key = apps.get_model("patients", "Patient").objects.values_list("pk", flat=True).first()
        return reverse(f"admin:{name}", args=[key])


def test_not_even_a_superuser_changes_anything_by_hand(books, boss):
    for model in pages().values():
        for address, status in _attempts(boss, list_address(model), detail_address(model)):
            assert status == REFUSED, address


def test_the_overview_opens_for_every_role(books):
    for role in Role:
        assert logged_in(member(f"a-{role.name.lower()}".replace("_", "-"), role)).get("/admin/").status_code == 200
