"""unfold's templates, made fit for ears and keyboards as they are loaded, once in a process.

Two things are mended in the source, so that no template is copied and kept up to date by hand. An icon is a word in a
font, such as `arrow_back`, which a screen reader reads out as such: it is hidden, or where it stands alone on a control
says what pressing it does. And what reacts to a click of the mouse alone is reached by Tab and pressed with Enter too.
"""

import re
from collections.abc import Mapping

from django.template.base import Origin
from django.template.loaders import app_directories, filesystem

# Icons that stand alone on a control, which has no other name.
ALONE: Mapping[str, str] = {"more_horiz": "Actions", "search": "Search", "{% if site_symbol %}": "Overview"}
# Icons that are the control: what a click changes, and how that is called.
CONTROLS: Mapping[str, str] = {
    "sidebarDesktopOpen": "Side menu",
    "sidebarMobileOpen": "Menu",
    "showPassword": "Show or hide the password",
}
# What else has no name: the source that it is known by, and its name.
NAMELESS: Mapping[str, str] = {
    'x-ref="searchInput"': "Search",
    'x-on:click="openTheme = !openTheme"': "Light or dark",
}
_TAG = re.compile(r"<(?P<name>a|div|h2|span)\b(?P<rest>[^<>]*)>(?P<word>\s*(?:\{% if site_symbol %\}|[a-z_]*))")
_ICON, _CLICK = "material-symbols-outlined", 'x-on:click="'
_BY_KEY = 'tabindex="0" role="button" x-on:keydown.enter.prevent="$el.click()" '


def mended(source: str) -> str:
    """Return the source of a template with its icons and its controls made fit for ears and keyboards."""
    for known_by, name in NAMELESS.items():
        source = source.replace(known_by, f'aria-label="{name}" {known_by}')
    return _TAG.sub(_mended_tag, source)


def _mended_tag(tag: re.Match[str]) -> str:
    rest = tag["rest"]
    is_icon, is_clicked = _ICON in rest, _CLICK in rest and "href=" not in rest
    name = next((name for what, name in CONTROLS.items() if what in rest), "") if is_icon and is_clicked else ""
    # The pointer tells a control from what merely covers the page while a menu is open.
    if name or (is_clicked and not is_icon and "cursor-pointer" in rest):
        label = f'aria-label="{name}" ' if name else ""
        # Just before the click: where that stands under a condition, so does what goes with it.
        rest = rest.replace(_CLICK, _BY_KEY + label + _CLICK, 1)
    elif is_icon:
        alone = ALONE.get(tag["word"].strip())
        rest = (f' role="img" aria-label="{alone}"' if alone else ' aria-hidden="true"') + rest
    return f"<{tag['name']}{rest}>{tag['word']}"


class FilesystemLoader(filesystem.Loader):
    """Our own templates."""

    def get_contents(self, origin: Origin) -> str:
        """Return the mended source."""
        return mended(super().get_contents(origin))


class AppLoader(app_directories.Loader):
    """Those of the apps, unfold's above all."""

    def get_contents(self, origin: Origin) -> str:
        """Return the mended source."""
        return mended(super().get_contents(origin))
