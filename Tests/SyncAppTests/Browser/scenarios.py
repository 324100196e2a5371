"""Drives the page of the app in a real Chromium, as a person would.

usage: scenarios.py SCENARIO URL FOLDER [key=value...]
FOLDER/shots gets the screenshots. Ends with 0 if everything was seen, else with a traceback.
"""
import http.server
import json
import os
import sys
import threading

from playwright.sync_api import expect, sync_playwright

name, url, folder = sys.argv[1:4]
values = dict(argument.split("=", 1) for argument in sys.argv[4:])
shots = os.path.join(folder, "shots")
os.makedirs(shots, exist_ok=True)


def connect(page, side, location, kind="path", **fields):
    form = page.locator(f"form[data-side={side}]")
    form.locator("select").select_option(kind)
    form.locator("[name=location]").fill(location)
    for key, value in fields.items():
        field = form.locator(f"[name={key}]")
        field.check() if value is True else field.fill(value)
    form.locator("button.test").click()
    return form.locator(".facts")


def connect_both(page):
    kinds = {"http": "http", "https": "http", "ssh": "ssh"}
    for side in ("source", "target"):
        location = values[side]
        kind = kinds.get(location.split("://")[0], "path") if "://" in location else "path"
        fields = {"identity": values["identity"]} if kind == "ssh" else {}
        expect(connect(page, side, location, kind, **fields)).to_contain_text("scan", timeout=20000)
    expect(page.locator("#rows .row").first).to_be_visible(timeout=20000)


def select_all(page):
    page.locator("#select-shown").click()


def start_and_wait(page, state="finished", number=1):
    expect(page.locator("#start")).to_be_enabled()
    page.locator("#start").click()
    expect(page.locator(f"#job-{number}[data-state={state}]")).to_be_visible(timeout=60000)


def picture(page, step):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=f"{shots}/{name}-{step}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")


def whole_way(page):
    connect_both(page)
    expect(page.locator("#states")).to_contain_text("only at source")
    page.wait_for_timeout(500)  # For the pictures of the rows that are on the screen.
    picture(page, "compare")
    page.locator("#rows .name").first.click()
    expect(page.locator("#plan")).to_be_visible()
    expect(page.locator("#plan-files")).to_contain_text("files.json")
    picture(page, "plan")
    page.locator("#plan-close").click()
    select_all(page)
    picture(page, "selected")
    start_and_wait(page)
    expect(page.locator("#job-1")).to_contain_text("100 %")
    expect(page.locator("#states")).to_contain_text("same", timeout=20000)
    expect(page.locator("#states")).not_to_contain_text("only at source")
    picture(page, "done")
    with page.expect_download() as download:
        page.locator("#job-1 a").click()
    report = json.load(open(download.value.path()))
    assert report["totals"]["filesMoved"] > 0 and report["errors"] == [], report
    # On a phone everything is still there, and nothing is wider than it.
    page.set_viewport_size({"width": 390, "height": 844})
    picture(page, "phone")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, width


def named_and_history(page):
    form = page.locator("form[data-side=source]")
    # The command named it: it is chosen and connected already.
    expect(form.locator("select")).to_have_value("named:field:")
    expect(form.locator(".facts")).to_contain_text("3 scans")
    target = page.locator("form[data-side=target]")
    target.locator("select").select_option("named:backup:")
    target.locator("button.test").click()
    expect(page.locator("#rows .row").first).to_be_visible(timeout=20000)
    expect(page.locator("#history")).to_be_hidden()
    select_all(page)
    page.locator("#bandwidth").fill("0.02")
    start_and_wait(page)
    took = page.evaluate("fetch('/api/history').then((answer) => answer.json()).then((runs) => runs[0].seconds)")
    assert took > 1, took
    page.locator("#history summary").click()
    expect(page.locator("#history-list tr")).to_have_count(1)
    expect(page.locator("#history-list")).to_contain_text("done")
    with page.expect_download() as download:
        page.locator("#history-list a").click()
    assert json.load(open(download.value.path()))["exitCode"] == 0
    picture(page, "history")
    page.reload()
    page.locator("#history summary").click()
    expect(page.locator("#history-list")).to_contain_text(values["target"])


def failing_connection(page):
    facts = connect(page, "source", folder + "/nowhere")
    expect(facts).to_contain_text("there is no database")
    expect(facts).to_have_class("facts bad")
    facts = connect(page, "target", "http://127.0.0.1:1", "http")
    expect(facts).to_contain_text("127.0.0.1:1", timeout=30000)
    picture(page, "failed")
    expect(connect(page, "source", values["source"])).to_contain_text("scans")


def failing_scan(page):
    index = values["source"] + "/plant_1/files.json"
    whole = open(index).read()
    open(index, "w").write("{")
    connect_both(page)
    select_all(page)
    start_and_wait(page, "failed")
    expect(page.locator("#job-1 .error")).to_contain_text("files.json")
    picture(page, "failed")
    open(index, "w").write(whole)
    page.get_by_role("button", name="Retry what failed").click()
    expect(page.locator("#job-2[data-state=finished]")).to_be_visible(timeout=30000)
    assert os.path.exists(values["target"] + "/plant_1/files.json")


def reload_during_run(page):
    connect_both(page)
    select_all(page)
    page.locator("#start").click()
    expect(page.locator("#job-1[data-state=running]")).to_contain_text("of", timeout=30000)
    page.reload()
    expect(page.locator("#job-1[data-state=running]")).to_be_visible()
    expect(page.locator("form[data-side=source] .facts")).to_contain_text("scan")
    picture(page, "running")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#job-1[data-state=cancelled]")).to_be_visible(timeout=10000)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#job-2[data-state=running]")).to_be_visible()


def new_target(page):
    return page.locator("form[data-side=target]").locator("[name=location]")


def edited_target(page):
    connect_both(page)
    select_all(page)
    expect(page.locator("#start")).to_be_enabled()
    other = values["target"] + "-other"
    new_target(page).fill(other)
    expect(page.locator("#start")).to_be_disabled()
    expect(page.locator("form[data-side=target] .facts")).to_contain_text("Changed")
    expect(page.locator("form[data-side=target] .facts")).not_to_contain_text(values["target"])
    picture(page, "changed")
    # A click that is forced reaches nothing either.
    page.evaluate("document.getElementById('start').disabled = false; document.getElementById('start').click()")
    page.wait_for_timeout(300)
    expect(page.locator("#jobs")).to_be_hidden()
    # An answer to what stood there before says nothing of what stands there now.
    held = []
    page.route("**/api/connect", lambda route: held.append(route))
    page.locator("form[data-side=target] button.test").click()
    while not held:
        page.wait_for_timeout(20)
    new_target(page).fill(other + "2")
    with page.expect_response("**/api/connect"):
        held[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator("form[data-side=target] .facts")).to_contain_text("Changed")
    page.unroute("**/api/connect")
    new_target(page).fill(other)
    page.locator("form[data-side=target] button.test").click()
    expect(page.locator("form[data-side=target] .facts")).to_contain_text(other)
    expect(page.locator("#rows .row").first).to_be_visible(timeout=20000)
    # What was selected for the other target is not selected for this one.
    expect(page.locator("#start")).to_be_disabled()
    select_all(page)
    start_and_wait(page)
    assert os.path.exists(other + "/plant_0/files.json")
    assert not os.path.exists(values["target"])
    # A name of the configuration, a key or a password are fields too.
    page.locator("form[data-side=source] select").select_option("ssh")
    expect(page.locator("#start")).to_be_disabled()


def two_tabs(page):
    connect_both(page)
    select_all(page)
    second = page.context.new_page()
    second.goto(url.split("#")[0])
    expect(second.locator("form[data-side=target] .facts")).to_be_hidden()
    first_target = values["target"]
    values["target"] = first_target + "-second"
    connect_both(second)
    expect(page.locator("form[data-side=target] .facts")).to_contain_text(first_target)
    expect(page.locator("form[data-side=target] .facts")).not_to_contain_text("second")
    expect(page.locator("#selection")).to_contain_text("3 scans")
    start_and_wait(page)
    assert os.path.exists(first_target + "/plant_2/files.json")
    assert not os.path.exists(values["target"])
    expect(page.locator("#states")).to_contain_text("same", timeout=20000)
    # The run of another tab changes nothing of what this one shows.
    expect(second.locator("#job-1")).to_contain_text(first_target)
    expect(second.locator("#states")).to_contain_text("only at source")
    select_all(second)
    start_and_wait(second, number=2)
    assert os.path.exists(values["target"] + "/plant_2/files.json")


def reloaded(page):
    connect_both(page)
    page.reload()
    expect(new_target(page)).to_have_value(values["target"])
    expect(page.locator("form[data-side=target] .facts")).to_contain_text(values["target"])
    expect(page.locator("#rows .row").first).to_be_visible(timeout=20000)
    expect(page.locator("#start")).to_be_disabled()
    other = values["target"] + "-other"
    new_target(page).fill(other)
    page.reload()
    expect(new_target(page)).to_have_value(other)
    expect(page.locator("form[data-side=source] .facts")).to_contain_text("3 scans")
    expect(page.locator("form[data-side=target] .facts")).to_be_hidden()
    expect(page.locator("#compare")).to_be_hidden()
    page.locator("form[data-side=target] button.test").click()
    expect(page.locator("#rows .row").first).to_be_visible(timeout=20000)
    select_all(page)
    start_and_wait(page)
    assert os.path.exists(other + "/plant_0/files.json") and not os.path.exists(values["target"])


def deletion_guard(page):
    connect_both(page)
    expect(page.locator("#states")).to_contain_text("only at target")
    page.locator("#delete").check()
    expect(page.locator("#comparing")).to_have_text("")
    expect(page.locator("#rows")).to_contain_text("−", timeout=20000)
    select_all(page)
    expect(page.locator("#guard")).to_contain_text("will be deleted")
    expect(page.locator("#guard")).to_contain_text("plant_3")
    expect(page.locator("#start")).to_be_disabled()
    picture(page, "guard")
    page.locator("#confirm-delete").check()
    start_and_wait(page)
    assert not os.path.exists(values["target"] + "/plant_3")


def many_scans(page):
    connect_both(page)
    expect(page.locator("#states")).to_contain_text("all 10000", timeout=60000)
    assert page.locator("#rows .row").count() < 60
    page.locator("#viewport").evaluate("view => { view.scrollTop = view.scrollHeight }")
    expect(page.locator("#rows")).to_contain_text("scan_09999")
    longest = page.evaluate(
        """async () => {
            const view = document.getElementById("viewport");
            let longest = 0, last = performance.now();
            for (let step = 0; step < 60; step += 1) {
                view.scrollTop = (step * 7919) % view.scrollHeight;
                await new Promise(requestAnimationFrame);
                longest = Math.max(longest, performance.now() - last);
                last = performance.now();
            }
            return longest;
        }""")
    print("longest frame of 60:", round(longest), "ms")
    page.locator("#search").fill("scan_0500")
    expect(page.locator("#rows .row")).to_have_count(10)
    page.locator("#viewport").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator("#selection")).to_contain_text("1 scan")
    page.keyboard.press("Enter")
    expect(page.locator("#plan")).to_be_visible()


def hostile_names(page):
    connect_both(page)
    expect(page.locator("form[data-side=source] .facts")).to_contain_text("<img")
    expect(page.locator("#rows")).to_contain_text("<img src=x onerror")
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img[src=x]").count() == 0


def other_origin(page):
    expect(connect(page, "source", values["source"])).to_contain_text("scans")

    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>evil</title>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    evil = page.context.new_page()
    evil.goto(f"http://127.0.0.1:{server.server_port}/")
    outcome = evil.evaluate(
        """async (base) => {
            const tries = [];
            for (const type of ["application/json", "text/plain"]) {
                try {
                    const answer = await fetch(base + "/api/jobs", {
                        method: "POST", credentials: "include", headers: { "Content-Type": type },
                        body: JSON.stringify({ comparison: "", scans: [], verify: false }) });
                    tries.push(answer.status);
                } catch (error) { tries.push("blocked"); }
            }
            return tries;
        }""", url.split("/#")[0])
    assert all(one == "blocked" for one in outcome), outcome
    page.reload()
    expect(page.locator("form[data-side=source] .facts")).to_contain_text("scans")
    expect(page.locator("#jobs")).to_be_hidden()
    server.shutdown()


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=values["chromium"], args=["--no-sandbox"] if os.geteuid() == 0 else [])
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text else None)
    page.goto(url)
    expect(page.locator("#version")).to_contain_text("plantdb")
    assert "token" not in page.url, page.url
    try:
        globals()[name](page)
    except BaseException:
        page.screenshot(path=f"{shots}/{name}-broken.png", full_page=True)
        raise
    assert problems == [], problems
    browser.close()
