"""Icons are no words for ears, and what a click does a key does too: on every page of the console."""

import re

import pytest
from django.template.loader import get_template

from billing_project.mended_templates import mended

ICON = re.compile(r"<(?:span|div)\b[^<>]*\bmaterial-symbols-outlined\b[^<>]*>")
CLICKED = re.compile(r'<(?:a|span|div|h2)\b[^<>]*\bx-on:click="[^<>]*>')


def test_an_icon_beside_words_is_hidden_from_ears():
    assert mended('<span class="material-symbols-outlined">send</span> Send') == (
        '<span aria-hidden="true" class="material-symbols-outlined">send</span> Send'
    )


def test_an_icon_that_stands_alone_on_a_control_says_what_it_does():
    assert 'role="img" aria-label="Actions"' in mended('<span class="material-symbols-outlined">\n more_horiz\n</span>')
    toggle = '<span class="material-symbols-outlined" x-on:click="showPassword = !showPassword"></span>'
    assert 'aria-label="Show or hide the password"' in mended(toggle)
    assert 'tabindex="0"' in mended(toggle)


def test_what_is_clicked_is_reached_by_keys_under_the_same_condition():
    filters = '<a class="cursor-pointer" x-on:click="filterOpen = true">Filters</a>'
    assert 'tabindex="0" role="button" x-on:keydown.enter.prevent="$el.click()" x-on:click=' in mended(filters)
    group = '<h2 class="cursor-pointer" {% if group.collapsible %}x-on:click="open = !open"{% endif %}>Terms</h2>'
    assert '{% if group.collapsible %}tabindex="0"' in mended(group)


@pytest.mark.parametrize(
    "left_alone",
    [
        '<a href="/" class="cursor-pointer" x-on:click="open">Home</a>',  # a link is reached anyway
        '<div class="fixed" x-on:click="filterOpen = false"></div>',  # what covers the page: Escape closes it
        '<span class="flex">words</span>',
        '<button class="cursor-pointer" x-on:click="open">Open</button>',
    ],
)
def test_what_is_in_order_is_left_alone(left_alone):
    assert mended(left_alone) == left_alone


@pytest.mark.parametrize(
    "name",
    ["admin/change_list.html", "unfold/helpers/welcomemsg.html", "unfold/helpers/navigation_user.html",
     "unfold/helpers/tab_action.html", "unfold/widgets/password_toggle.html", "unfold/helpers/theme_switch.html"],
)  # fmt: skip
def test_the_console_loads_its_templates_mended(name):
    source = get_template(name).template.source
    for tag in ICON.findall(source):
        assert "aria-hidden" in tag or "aria-label" in tag, tag
    for tag in CLICKED.findall(source):
        if "cursor-pointer" in tag and "href=" not in tag and "material-symbols" not in tag:
            assert "tabindex" in tag, tag


def test_a_page_of_the_console_reads_no_icon_out(client, db):
    page = client.get("/admin/login/").content.decode()
    assert ICON.findall(page)
    assert not [tag for tag in ICON.findall(page) if "aria-hidden" not in tag and "aria-label" not in tag]
