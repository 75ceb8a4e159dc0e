"""The pages in a real browser: quiet, self-contained, exact, accessible, usable by mouse, keyboard and on paper."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import report_samples as samples
from browser import chromium, needs_chromium, visit
from playwright.sync_api import Browser, expect
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from shared.loaded import LoadedVerdict
from shared.migration import Environment, qpi_exports
from shared.phase import Phase
from shared.report.loading import Status, Unreadable
from shared.report.next_steps import CommandTarget
from shared.report.page import render_hours, render_report, render_status, render_unknown
from shared.report.web import create_app

pytestmark = needs_chromium

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
DEV = qpi_exports(Environment.DEV)
TARGET = CommandTarget("dev", samples.SOURCE, samples.DESTINATION)


def status(state: Any = None, verification: Any = None, loaded: Any = None) -> str:
    return render_status(Status(TARGET, state, verification, NOW, loaded), NOW)


PAGES: dict[str, Callable[[], str]] = {
    "troubled": lambda: render_report(samples.read(samples.troubled()), Phase.DUAL_WRITE),
    "compact": lambda: render_report(samples.read(samples.compact()), Phase.DUAL_WRITE),
    "clean": lambda: render_report(samples.read(samples.clean(21)), Phase.DUAL_WRITE),
    "large": lambda: render_report(samples.read(samples.large()), Phase.DUAL_WRITE),
    "hostile": lambda: render_report(samples.read(samples.hostile()), Phase.DUAL_WRITE),
    "status": lambda: status(samples.read_state(samples.state()), samples.read(samples.compact())),
    "status deleted": lambda: status(
        samples.read_state(samples.state(phase="deleted", since="2026-11-23T05:30:00Z")),
        samples.read(samples.compact()),
        samples.loaded(LoadedVerdict.ONCE, LoadedVerdict.PARTLY, LoadedVerdict.ONCE),
    ),
    "status never verified": status,
    "status unreadable": lambda: status(
        Unreadable("gs://b/state.json: no answer"), samples.read(samples.clean(7))
    ),
    "unknown": lambda: render_unknown("gs://b/state.json: no answer", NOW),
    "writes": lambda: render_hours(
        DEV, [number * 7_919 for number in range(24 * 7)], ["Quietest: Sun 05:00 to 06:00 UTC"], known=True
    ),
    "writes not known": lambda: render_hours(DEV, [0] * 24 * 7, ["Quietest hours: not known"], known=False),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    paths = {name: folder / f"{name.replace(' ', '-')}.html" for name in PAGES}
    for name, path in paths.items():
        path.write_text(PAGES[name](), encoding="utf-8")
    return paths


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """A WSGI application at a free port of this machine; gives its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def at_path(content: Any, path: str) -> Any:
    for part in path.split("."):
        content = content[int(part)] if isinstance(content, list) else content[part]
    return content


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_and_fits_every_screen(name: str, browser: Browser, files: dict[str, Path]) -> None:
    """One file, no network, no script error, no refusal by its own policy; nothing to be scrolled sideways on a phone."""
    with visit(browser, files[name]) as seen:
        for width in (1144, 1143, 768, 360, 320):
            seen.page.set_viewport_size({"width": width, "height": 900})
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
            wide = seen.page.evaluate(
                "[...document.querySelectorAll('main *:not(.scroll *):not(.unseen):not(svg *):not(.wide thead *)')]"
                ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
                ".map((one) => one.outerHTML.slice(0, 90))"
            )
            assert wide == [], width
        seen.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert seen.unreadable() == []
        assert (seen.console, seen.requests, seen.dialogs) == ([], [files[name].as_uri()], [])


@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"troubled", "hostile"}))
def test_axe_finds_nothing_wrong(name: str, browser: Browser, files: dict[str, Path]) -> None:
    """Structure, names, roles and contrast, in both colour schemes, with everything unfolded."""
    with visit(browser, files[name], color_scheme="light") as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert seen.axe() == []
        seen.page.emulate_media(color_scheme="dark")
        assert seen.axe("color-contrast", "link-in-text-block") == []


def test_the_next_command_is_on_top_and_the_past_is_folded(browser: Browser, files: dict[str, Path]) -> None:
    """After the deletion, the verification of before it is there for who opens it; what `loaded` found stands open."""
    with visit(browser, files["status"]) as seen:
        assert seen.texts(".verdict .next code") == ["python -m backfill_job migrate --env dev --execute"]
        expect(seen.page.locator("#names")).to_be_visible()
    with visit(browser, files["status deleted"]) as seen:
        expect(seen.page.locator(".verdict .next")).to_have_text("Next: nothing to do now.")
        expect(seen.page.locator("#names")).to_be_hidden()
        expect(seen.page.locator("main")).to_contain_text(
            "1 of 3 days not loaded as they should be: 2026-11-21 partly"
        )
        seen.page.locator(".past > summary").click()
        expect(seen.page.locator("#names")).to_be_visible()


def test_every_figure_equals_the_file_s(browser: Browser, files: dict[str, Path]) -> None:
    """Each figure names its place in verification.json; what stands there is what is shown."""
    file = samples.troubled()
    with visit(browser, files["troubled"]) as seen:
        figures = seen.page.eval_on_selector_all(
            "data[data-path]", "all => all.map((one) => [one.dataset.path, one.value, one.textContent])"
        )
    assert len({path for path, _, _ in figures}) > 40
    for path, value, shown in figures:
        assert json.loads(value) == at_path(file, path), path
        if re.fullmatch("[0-9,]+", shown):
            assert int(shown.replace(",", "")) == at_path(file, path), path
    paths = {path for path, _, _ in figures}
    assert {f"counts.{verdict}" for verdict in samples.VERDICTS} <= paths
    assert {"lag.p50_s", "lag.p90_s", "lag.p99_s", "lag.max_s", "differences_total"} <= paths


def test_every_day_s_cell_and_row_have_the_file_s_counts(browser: Browser, files: dict[str, Path]) -> None:
    """The calendar, for the mouse and for screen readers, and the table beside it."""
    file = samples.troubled()
    with visit(browser, files["troubled"]) as seen:
        cells = dict(
            seen.page.eval_on_selector_all(
                ".month td[id]", "all => all.map((one) => [one.id, one.getAttribute('aria-label')])"
            )
        )
        rows = seen.page.eval_on_selector_all(
            "#days ~ details tbody tr",
            "all => all.map((row) => [...row.children].map((one) => one.textContent))",
        )
    assert list(cells) != sorted(cells), "cells are in rows of weekdays"
    assert sorted(cells) == [f"d{day['day']}" for day in file["days"]]
    for day, row in zip(file["days"], rows, strict=True):
        label = cells[f"d{day['day']}"]
        source, destination = day["source"], day["destination"]
        assert row[0] == day["day"]
        assert [int(text.replace(",", "")) for text in row[2:6]] == [
            source["objects"],
            source["bytes"],
            destination["objects"],
            destination["bytes"],
        ]
        if day["verdict"] == "absent":
            assert "No objects on either side" in label
            continue
        assert f"{source['objects']:,} objects" in label
        assert f"{destination['objects']:,} objects" in label
        for verdict, count in day["verdicts"].items():
            if day["verdict"] != "equal":
                assert f"{count:,} {verdict.replace('_', ' ')}" in label
            assert f"{count:,} {verdict.replace('_', ' ')}" in row[6]


def test_the_months_are_the_days_added_up(browser: Browser, files: dict[str, Path]) -> None:
    """The table that stands for the bars."""
    with visit(browser, files["troubled"]) as seen:
        rows = seen.page.eval_on_selector_all(
            "tr[data-month]", "all => all.map((row) => [...row.children].map((one) => one.textContent))"
        )
    wanted: dict[str, list[int]] = {}
    for day in samples.troubled()["days"]:
        if day["verdict"] != "absent":
            sums = wanted.setdefault(day["day"][:7], [0, 0, 0, 0])
            for number, (side, what) in enumerate(
                (side, what) for side in ("source", "destination") for what in ("objects", "bytes")
            ):
                sums[number] += day[side][what]
    assert {row[0]: [int(text.replace(",", "")) for text in row[1:5]] for row in rows} == wanted


def test_the_file_itself_is_in_the_page(browser: Browser, files: dict[str, Path]) -> None:
    """For machines, whatever its texts hold."""
    for name, file in (("compact", samples.compact()), ("hostile", samples.hostile())):
        with visit(browser, files[name]) as seen:
            text = seen.page.locator("#verification-json").text_content()
        assert text is not None
        assert json.loads(text) == file


def test_the_calendar_is_walked_by_keyboard(browser: Browser, files: dict[str, Path]) -> None:
    """One stop for Tab; arrows move by day and week, Page keys by month, Home and End within it; the counts come along."""
    with visit(browser, files["troubled"]) as seen:
        page, tip = seen.page, seen.page.locator("#tip")
        stops = page.locator(".month td[tabindex='0']")
        expect(stops).to_have_count(1)
        assert stops.get_attribute("id") == "d2023-08-14", "it begins at the first day that is not equal"
        page.locator("#next-unequal").focus()
        page.keyboard.press("Tab")
        for keys, wanted in (
            ("", "2023-08-14"),
            ("ArrowDown", "2023-08-15"),
            ("ArrowRight", "2023-08-22"),
            ("ArrowLeft", "2023-08-15"),
            ("ArrowUp", "2023-08-14"),
            ("End", "2023-08-31"),
            ("PageDown", "2023-09-30"),
            ("PageUp", "2023-08-30"),
            ("Home", "2023-08-01"),
            ("ArrowUp", "2023-07-31"),
            ("Control+End", "2024-11-22"),
            ("ArrowRight", "2024-11-22"),
            ("Control+Home", "2021-06-14"),
            ("ArrowUp", "2021-06-14"),
        ):
            if keys:
                page.keyboard.press(keys)
            focused = page.locator(":focus")
            assert focused.get_attribute("id") == f"d{wanted}", keys
            expect(tip).to_be_visible()
            assert tip.text_content() == focused.get_attribute("aria-label")
            expect(stops).to_have_count(1)
        page.keyboard.press("Escape")
        expect(tip).to_be_hidden()


def test_the_mouse_and_a_tap_show_a_day_s_counts(browser: Browser, files: dict[str, Path]) -> None:
    """The tooltip stays within the window, and goes when the mouse leaves."""
    with visit(browser, files["troubled"], width=360, has_touch=True) as seen:
        page, tip = seen.page, seen.page.locator("#tip")
        for day in ("2024-03-05", "2021-06-14", "2024-11-22"):
            page.locator(f"#d{day}").hover()
            expect(tip).to_be_visible()
            box = tip.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
        page.mouse.move(0, 0)
        expect(tip).to_be_hidden()
        page.locator("#d2024-03-06").tap()
        expect(tip).to_contain_text("6 March 2024: differing")


def test_a_remark_leads_to_its_day_and_the_day_to_its_differences(
    browser: Browser, files: dict[str, Path]
) -> None:
    """A remark's link focuses the cell; Enter there filters the table by that day; a button goes through the days."""
    with visit(browser, files["troubled"]) as seen:
        page = seen.page
        page.locator(".remarks a", has_text="2023-08-15").click()
        expect(page.locator("#d2023-08-15")).to_be_focused()
        page.keyboard.press("Enter")
        shown = page.locator("#differences-table tbody tr:visible")
        expect(shown).to_have_count(7)
        expect(page.locator("#filter-name")).to_have_value("20230815")
        visited = []
        for _ in range(6):
            page.locator("#next-unequal").click()
            visited.append(page.locator(":focus").get_attribute("id"))
        assert visited == [
            "d2023-08-14", "d2023-08-15", "d2024-03-05", "d2024-03-06", "d2024-11-22", "d2023-08-14",
        ]  # fmt: skip


def test_the_differences_are_filtered_by_name_and_verdict(browser: Browser, files: dict[str, Path]) -> None:
    """Both together; how many are left is said; everything comes back."""
    with visit(browser, files["troubled"]) as seen:
        page = seen.page
        shown = page.locator("#differences-table tbody tr:visible")
        count = page.locator("#filter-count")
        expect(shown).to_have_count(36)
        expect(count).to_have_text("36 of 36 shown")
        page.get_by_label("Name contains").fill("user_id_1001")
        expect(shown).to_have_count(5)
        page.get_by_role("checkbox", name="missing").uncheck()
        expect(shown).to_have_count(3)
        expect(count).to_have_text("3 of 36 shown")
        assert {row.get_attribute("data-verdict") for row in shown.all()} == {"content_differs", "in_flight"}
        page.get_by_label("Name contains").fill("nothing like that")
        expect(shown).to_have_count(0)
        page.get_by_role("button", name="Show all").click()
        expect(shown).to_have_count(36)
        assert seen.requests == [files["troubled"].as_uri()], "the form sends nothing"


def test_the_differences_are_sorted_by_name_and_verdict(browser: Browser, files: dict[str, Path]) -> None:
    """Up, then down; the head of the column says which."""
    with visit(browser, files["troubled"]) as seen:
        page = seen.page
        names = [one["name"] for one in samples.troubled()["differences"]]
        head = page.get_by_role("columnheader", name="Name")
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert seen.texts("#differences-table tbody th") == sorted(names)
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        assert seen.texts("#differences-table tbody th") == sorted(names, reverse=True)
        page.get_by_role("columnheader", name="Verdict").get_by_role("button").click()
        assert head.get_attribute("aria-sort") is None
        verdicts = page.eval_on_selector_all(
            "#differences-table tbody tr", "all => all.map((row) => row.dataset.verdict)"
        )
        assert verdicts == sorted(verdicts, key=str)


def test_both_sides_facts_are_shown_and_what_differs_is_marked(
    browser: Browser, files: dict[str, Path]
) -> None:
    """An operator sees from the table alone in what two objects differ."""
    wanted = next(one for one in samples.troubled()["differences"] if one["verdict"] == "content_differs")
    with visit(browser, files["troubled"]) as seen:
        row = seen.page.locator("#differences-table tbody tr", has_text="20240305/user_id_1000.jsonl")
        for column, side in ((2, wanted["source"]), (3, wanted["destination"])):
            cell = row.locator(":scope > *").nth(column)
            for fact in (side["crc32c"], side["md5"], side["created"], side["generation"]):
                expect(cell).to_contain_text(fact)
            assert cell.locator("mark").all_inner_texts() == [
                f"{side['size']} B",
                side["crc32c"],
                side["md5"],
            ]
        missing = seen.page.locator("#differences-table tbody tr", has_text="20230814/user_id_1000.jsonl")
        expect(missing).to_contain_text("not there")


def test_texts_from_outside_are_texts(browser: Browser, files: dict[str, Path]) -> None:
    """Names like markup, like scripts and like templates, names that turn the reading direction: shown, never obeyed."""
    with visit(browser, files["hostile"]) as seen:
        page = seen.page
        page.get_by_label("Name contains").fill("alert(1)")
        expect(page.locator("#differences-table tbody tr:visible")).to_have_count(1)
        page.get_by_role("button", name="Show all").click()
        assert seen.dialogs == []
        assert (
            page.locator("img, iframe, object, embed, [onerror], [onclick], [style]:not(#tip)").count() == 0
        )
        assert page.locator("script").count() == 2
        names = page.eval_on_selector_all(
            "#differences-table tbody th", "all => all.map((one) => one.textContent)"
        )
        everything = page.locator("body").inner_text() + page.content()
    assert names[:9] == [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(2)>',
        r"user_\u202e7_di_resu.jsonl",
        r"line\nbreak\r\n\ttab.jsonl",
        "</script><!--<script>",
        "{{ 7 * 7 }} {% raw %}",
        r"back\\slash\x20\x20two spaces\x20",
        "שלום-עולם.jsonl",
        r"soft\xadhyphen\u200bzero\ufe0fwidth.jsonl",
    ]
    assert names[9] == r"nul\x00-lone\ud800surrogate"
    assert names[10] == "'\"&amp;&lt;`=/"
    for character in "\u202e\u200b\u00ad\ufe0f\x00\u2028":
        assert character not in everything


def test_markup_that_slipped_through_could_do_nothing(
    browser: Browser, files: dict[str, Path], tmp_path: Path
) -> None:
    """The page's policy runs only the page's own script, and lets nothing be loaded from or sent to anywhere."""
    asked: list[str] = []

    @Request.application
    def listener(request: Request) -> Response:
        asked.append(request.path.strip("/"))
        return Response("h1 { display: none }", mimetype="text/css")

    with serving(listener) as url:
        bait = (
            f"<script>document.title = 'owned'</script><img src='{url}image'>"
            f"<form id=bait action='{url}form'></form><style>h1 {{ display: none }}</style>"
            f"<link rel=stylesheet href='{url}style'><base href='{url}'>"
        )
        spoilt = tmp_path / "spoilt.html"
        text = files["clean"].read_text(encoding="utf-8").replace("<footer>", f"<footer>{bait}")
        for policy, wanted in ((True, []), (False, ["image", "style"])):
            spoilt.write_text(
                text if policy else text.replace("Content-Security-Policy", "off"), encoding="utf-8"
            )
            with visit(browser, spoilt) as seen:
                assert (seen.page.title() == "owned") is not policy
                assert seen.page.locator("h1").is_visible() is policy
                assert sorted(asked) == wanted
                if policy:
                    with seen.page.expect_console_message(lambda message: "form-action" in message.text):
                        seen.page.evaluate("document.getElementById('bait').submit()")


def test_a_whole_year_stands_in_one_row_on_a_wide_screen(browser: Browser, files: dict[str, Path]) -> None:
    """And its months stand under each other from year to year."""
    with visit(browser, files["troubled"]) as seen:
        boxes = {
            (year, name): seen.page.locator(f"table[aria-label='{name} {year}']").bounding_box()
            for year in (2022, 2023)
            for name in ("January", "June", "December")
        }
    for (year, name), box in boxes.items():
        beside, above = boxes[(year, "January")], boxes[(2022, name)]
        assert box is not None
        assert beside is not None
        assert above is not None
        assert (box["y"], box["x"]) == (beside["y"], above["x"]), (year, name)


def test_paper_has_all_of_it_and_no_controls(browser: Browser, files: dict[str, Path]) -> None:
    """Printed in black on white even from a dark screen, within the sheet's width."""
    with visit(browser, files["troubled"], color_scheme="dark", width=703) as seen:
        page = seen.page
        page.emulate_media(media="print", color_scheme="light")
        for control in ("nav", "#filter", "#next-unequal", "[data-copy]", "summary", "[name=measure]"):
            assert page.locator(f"{control}:visible").count() == 0, control
        for part in ("h1", "#d2024-03-05", ".panel", "svg.lag", "#differences-table th", "#digest-source"):
            assert page.locator(f"{part}:visible").count() > 0, part
        assert page.locator("#differences-table tbody tr:visible").count() == 36
        assert page.evaluate("document.documentElement.scrollWidth") <= 703
        sheets = page.pdf(format="A4")
    assert sheets.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", sheets)) <= 15


def test_without_script_a_page_reads_the_same(browser: Browser, files: dict[str, Path]) -> None:
    """Verdict, counts, every difference; nothing offered that would not work."""
    with visit(browser, files["troubled"], java_script_enabled=False) as seen:
        page = seen.page
        expect(page.locator("h1")).to_have_text("Not equal: 27 missing, 33 differing, 1 extra, 18 in flight")
        assert page.locator("#differences-table tbody tr:visible").count() == 36
        for control in ("#filter", "#keys", "[data-copy]", "#tip"):
            assert page.locator(f"{control}:visible").count() == 0, control
        page.locator("summary", has_text="The days as a table").click()
        assert page.locator("#days ~ details tbody tr:visible").count() == 1258


def test_the_measure_of_the_volume_is_chosen_without_script(browser: Browser, files: dict[str, Path]) -> None:
    """Objects or bytes."""
    with visit(browser, files["troubled"], java_script_enabled=False) as seen:
        objects, size = seen.page.locator(".panels.objects"), seen.page.locator(".panels.bytes")
        expect(objects).to_be_visible()
        expect(size).to_be_hidden()
        seen.page.get_by_label("bytes", exact=True).check()
        expect(objects).to_be_hidden()
        expect(size).to_be_visible()


def test_digests_and_commands_are_copied_whole(browser: Browser, files: dict[str, Path]) -> None:
    """The button copies what stands beside it."""
    with visit(browser, files["clean"], permissions=["clipboard-read", "clipboard-write"]) as seen:
        page = seen.page
        for beside, wanted in (
            ("digest-source", samples.clean(21)["totals"]["source"]["digest"]),
            ("certificate-data", samples.digest("data")),
            ("step-1", "python -m backfill_job gate --env dev"),
        ):
            page.locator(f"[data-copy={beside}]").click()
            expect(page.locator(f"[data-copy={beside}]")).to_have_text("Copied")
            assert page.evaluate("navigator.clipboard.readText()") == wanted


def test_many_days_and_differences_are_no_burden(browser: Browser, tmp_path: Path) -> None:
    """2,000 days and 1,000 differences: drawn, counted, filtered."""
    made = samples.verification(
        samples.days(date(2019, 1, 1), 2000, {date(2024, 1, 1): "missing"}),
        differences=[
            samples.difference(f"qpi_answers_20240101/user_id_{number}.jsonl", "missing")
            for number in range(1000)
        ],
        differences_total=4211,
    )
    path = tmp_path / "many.html"
    path.write_text(render_report(samples.read(made)), encoding="utf-8")
    assert path.stat().st_size < 3_000_000
    with visit(browser, path) as seen:
        assert seen.page.locator(".month td[id]").count() == 2000
        expect(seen.page.locator("#differences + p")).to_contain_text(
            "4,211 names are not equal; this page has the first 1,000"
        )
        seen.page.get_by_label("Name contains").fill("user_id_99")
        expect(seen.page.locator("#filter-count")).to_have_text("11 of 1,000 shown")
        assert seen.console == []


def test_the_status_page_is_served_to_a_browser(browser: Browser) -> None:
    """Over HTTP, with the headers' policy on top of the page's own: still quiet, and nothing but itself is asked for."""
    state, verification = samples.read_state(samples.state()), samples.read(samples.clean())
    app = create_app(
        lambda: Status(TARGET, state, verification, NOW), now=lambda: NOW + timedelta(seconds=42)
    )
    with serving(app) as url, visit(browser, url) as seen:
        expect(seen.page.locator("h1")).to_have_text("Equal: nothing missing, nothing differs")
        expect(seen.page.locator(".when").first).to_contain_text("read 42 s ago")
        seen.page.get_by_role("link", name="read again").click()
        expect(seen.page.locator("h1")).to_be_visible()
        assert (seen.console, seen.requests) == ([], [url, url])
        seen.page.get_by_role("link", name="status.json").click()
        assert json.loads(seen.page.locator("body").inner_text())["verdict"] == "good"
