"""Staff at the console, for tests: each with a confirmed device, and logged in past the form or through it.

`logged_in` is for tests about pages; `logged_in_by_form` for those about the log-in, and for browsers: it shows what a
person types, and `code_of` is what the person's app shows.
"""

from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY

from billing.models import Role, StaffDevice
from billing.models.staff import new_secret
from billing_project.sessions import begin
from sandbox.demo.codes import next_code

PASSWORD = "a long walk by the sea"


def member(username: str, *roles: Role, superuser: bool = False) -> User:
    """Return an active account of staff in these roles, with a confirmed device."""
    user = User.objects.create_user(username, password=PASSWORD, is_staff=True, is_superuser=superuser)
    user.groups.set(Group.objects.filter(name__in=roles))
    give_device(user)
    return user


def give_device(user: User) -> StaffDevice:
    now = timezone.now()
    return StaffDevice.objects.create(
        user=user, name="authenticator", secret=new_secret(), created_at=now, confirmed_at=now
    )


def logged_in(user: User, **options: bool) -> Client:
    """Return a client whose session is verified by the user's device."""
    device = StaffDevice.objects.filter(user=user).first() or give_device(user)
    client = Client(**options)
    client.force_login(user)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    begin(session, now=timezone.now().timestamp())
    session.save()
    return client


def code_of(username: str) -> str:
    """Return what the app shows: a code that was not used yet."""
    return next_code(username, now=timezone.now(), at_once=True)


def logged_in_by_form(username: str, password: str = PASSWORD) -> Client:
    client = Client()
    answer = client.post("/admin/login/", {"username": username, "password": password, "otp_token": code_of(username)})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    return client
