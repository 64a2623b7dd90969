"""Pages in Chromium, as people see them: on screens, printed, and by keys; and what is wrong with one."""

import base64
import os
import re
import shutil
import tempfile
import unicodedata
import zlib
from contextlib import contextmanager

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# Where a browser must be there, its absence is a failure.
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and not os.environ.get("KNOWLIMITS_NEEDS_CHROMIUM"), reason="needs Chromium and its driver"
)
# Of A4 paper between its margins, in pixels, upright and across.
PAPER, PAPER_ACROSS = 718, 1047


@contextmanager
def opened(path, width=1280, scheme="light"):
    """A browser that shows a file; at the end nothing was said on its console."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    switches = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    for switch in f"{switches} disable-component-update disable-sync disable-dev-shm-usage".split():
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options, Service(DRIVER))
        try:
            show(driver, width, scheme)
            driver.get(path.as_uri())
            yield driver
            said = driver.get_log("browser")
            assert not said, said
        finally:
            driver.quit()


def show(driver, width, scheme="light", media=""):
    """Look at the page on a screen of such a width, or as it is printed, with `media` ``"print"``."""
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def printed(driver):
    """The text of the page as a PDF, without spaces."""
    options = {"preferCSSPageSize": True, "printBackground": True}
    return text_of(base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", options)["data"]))


def text_of(pdf):
    """The text of a PDF as Chromium writes it, without spaces: glyphs by the table that each font has."""
    objects = dict(re.findall(rb"(?:^|\n)(\d+) 0 obj\n(.*?)\nendobj", pdf, re.DOTALL))

    def stream(number):
        head, _, body = objects[number].partition(b"stream\n")
        body = body[: int(re.search(rb"/Length (\d+)", head)[1])]
        return zlib.decompress(body) if b"/FlateDecode" in head else body

    letters = {}
    for number, font in objects.items():
        if b"/Type /Font" in font and (table := re.search(rb"/ToUnicode (\d+) 0 R", font)):
            letters[number] = _glyphs(stream(table[1]).decode("latin-1"))
    found = []
    for page in (page for page in objects.values() if re.search(rb"/Type /Page\b", page)):
        own = {}
        for number, glyphs in letters.items():
            own |= dict.fromkeys((name.decode() for name in re.findall(rb"/(\w+) %s 0 R" % number, page)), glyphs)
        content = stream(re.search(rb"/Contents (\d+) 0 R", page)[1]).decode("latin-1")
        for font, run in re.findall(r"/(\w+) [\d.]+ Tf|(<[0-9A-Fa-f]+>)(?=[^<\[\]]*(?:TJ|Tj|<|\]))", content):
            if font:
                glyphs = own.get(font, {})
            else:
                codes = re.findall("....", run[1:-1])
                found += [glyphs.get(int(code, 16), "") for code in codes]
    # Ligatures are the letters that they join.
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", "".join(found)))


def _glyphs(table):
    """Letters by the numbers of their glyphs."""
    found = {}
    for block in re.findall(r"beginbfchar(.*?)endbfchar", table, re.DOTALL):
        found |= {int(a, 16): _letters(b) for a, b in re.findall(r"<(\w+)> <(\w+)>", block)}
    for block in re.findall(r"beginbfrange(.*?)endbfrange", table, re.DOTALL):
        for first, last, letter in re.findall(r"<(\w+)> <(\w+)> <(\w+)>", block):
            begin = int(first, 16)
            found |= {code: chr(ord(_letters(letter)[-1]) + code - begin) for code in range(begin, int(last, 16) + 1)}
    return found


def _letters(code):
    return bytes.fromhex(code).decode("utf-16-be")


# Every colour as red, green and blue, whatever way the browser has of writing it, and the contrast of two of them.
_COLOURS = """
    const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
    const context = canvas.getContext('2d', {willReadFrequently: true});
    const seen = new Map();
    const rgb = (colour, under = [255, 255, 255]) => {
        const key = `${colour}/${under}`;
        if (!seen.has(key)) {
            context.fillStyle = `rgb(${under.join()})`;
            context.fillRect(0, 0, 1, 1);
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
            seen.set(key, [...context.getImageData(0, 0, 1, 1).data].slice(0, 3));
        }
        return seen.get(key);
    };
    const light = (colour) => colour.map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, k) => sum + [0.2126, 0.7152, 0.0722][k] * part, 0);
    const contrast = (a, b) => {
        const [low, high] = [light(a), light(b)].sort((p, q) => p - q);
        return (high + 0.05) / (low + 0.05);
    };
    const behind = (node) => {
        const colours = [];
        for (let one = node; one; one = one.parentElement) colours.push(getComputedStyle(one).backgroundColor);
        return colours.reverse().reduce((under, colour) => rgb(colour, under), [255, 255, 255]);
    };
    const said = (node) => `${node.tagName}.${node.className.baseVal ?? node.className}`;
    const there = (node) => node.checkVisibility({visibilityProperty: true}) && node.getClientRects().length;
"""


def faint_text(driver):
    """Text that does not stand out from what is behind it by 4.5, each with its contrast."""
    return driver.execute_script(
        _COLOURS
        + """
        const faint = new Map();
        for (const node of document.body.querySelectorAll('*')) {
            if (!there(node) || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'OPTION'].includes(node.tagName)) continue;
            if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
            const style = getComputedStyle(node), back = behind(node);
            const one = contrast(rgb(node.closest('svg') ? style.fill : style.color, back), back);
            if (one < 4.5) faint.set(`${said(node)}: ${node.textContent.trim().slice(0, 30)}`, one);
        }
        return [...faint];
        """
    )


def faint_marks(driver):
    """Lines, dots and areas of drawings, bars and borders of controls that stand out by less than 3."""
    return driver.execute_script(
        _COLOURS
        + """
        const faint = [];
        const look = (node, colour, back) => {
            if (colour === 'none' || colour === 'rgba(0, 0, 0, 0)') return;
            const one = contrast(rgb(colour, back), back);
            if (one < 3) faint.push([`${said(node)} ${colour}`, one]);
        };
        for (const node of document.querySelectorAll('svg path, svg line, svg circle, svg rect')) {
            // Grids lie behind what they help to read, bands behind lines, and places of a map have words.
            if (node.matches('.axis, [opacity], #map rect') || !there(node)) continue;
            const style = getComputedStyle(node), back = behind(node);
            if (style.stroke !== 'none') look(node, style.stroke, back);
            else look(node, style.fill, back);
        }
        for (const node of document.querySelectorAll('select, input')) {
            const style = getComputedStyle(node);
            if (there(node) && style.borderTopWidth !== '0px') look(node, style.borderTopColor, behind(node));
        }
        for (const node of document.querySelectorAll('.two-sided i')) {
            look(node, getComputedStyle(node).backgroundColor, behind(node.parentElement));
        }
        const bar = document.querySelector('.bar');
        look(bar, getComputedStyle(bar).backgroundImage.match(/(rgb|color)\\([^)]*\\)/)[0], behind(bar));
        return faint;
        """
    )


def skipped_headings(driver):
    """Headings that are more than a level below the one before, or have no words."""
    return driver.execute_script(
        """
        let last = 0;
        return [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter((heading) => {
            const level = Number(heading.tagName[1]), skips = level > last + 1;
            last = level;
            return skips || !heading.textContent.trim();
        }).map((heading) => heading.outerHTML);
        """
    )


def nameless(driver):
    """Controls, pictures, tables and regions that have no name, by what the browser tells to screen readers."""
    driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {
        "button",
        "combobox",
        "searchbox",
        "textbox",
        "link",
        "image",
        "img",
        "table",
        "region",
        "navigation",
        "application",
    }
    return [
        node["role"]["value"]
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in named and not node.get("name", {}).get("value", "").strip()
    ]


def wordless_pictures(driver):
    """Drawings without a text in their place."""
    return driver.execute_script(
        """
        return [...document.querySelectorAll('canvas, svg, img')]
            .filter((node) => node.getAttribute('role') !== 'img' || !node.getAttribute('aria-label')?.trim())
            .map((node) => node.outerHTML.slice(0, 80));
        """
    )


def untold_cells(driver):
    """Tables without a caption, and headings of them that do not say of what they are the headings."""
    return driver.execute_script(
        """
        const tables = [...document.querySelectorAll('table')].filter((table) => !table.caption?.textContent.trim());
        const headings = [...document.querySelectorAll('th')].filter((heading) => !['col', 'row'].includes(heading.scope));
        return [...tables, ...headings].map((node) => node.outerHTML.slice(0, 80));
        """
    )


def too_wide(driver):
    """What reaches beyond the page to the right, but for what scrolls in a frame of its own."""
    return driver.execute_script(
        """
        const width = document.documentElement.clientWidth;
        const found = document.documentElement.scrollWidth > width ? ['the page'] : [];
        for (const node of document.body.querySelectorAll('*')) {
            const box = node.getBoundingClientRect();
            if (!box.width || box.right <= width + 0.5 || node.closest('.unseen')) continue;
            const framed = (one) => one && (getComputedStyle(one).overflowX !== 'visible' || framed(one.parentElement));
            if (!framed(node.parentElement)) found.push(`${node.tagName}: ${node.textContent.trim().slice(0, 30)}`);
        }
        return found;
        """
    )
