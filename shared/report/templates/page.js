"use strict";
// The page reads without this. It adds tooltips and arrow keys to the calendar, filtering and sorting to the table of
// differences, and copying. Texts are only ever set as texts, never as markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const tip = byId("tip");
  const say = (text) => { byId("said").textContent = text; };

  // The calendar: one stop for the Tab key; from there the arrow keys move by day and week.
  const cells = [...document.querySelectorAll(".month td[id]")].sort((a, b) => (a.id < b.id ? -1 : 1));
  const place = new Map(cells.map((cell, index) => [cell, index]));
  const month = (cell) => cell.id.slice(0, 8);
  let current = null;
  let tipped = null;

  const hideTip = () => { tip.hidden = true; tipped = null; };
  const showTip = (cell) => {
    tipped = cell;
    tip.textContent = cell.getAttribute("aria-label");
    tip.hidden = false;
    const at = cell.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left + at.width / 2 - tip.offsetWidth / 2), document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = at.top - tip.offsetHeight - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : at.bottom + 8}px`;
  };
  const choose = (cell) => {
    if (current) current.tabIndex = -1;
    current = cell;
    current.tabIndex = 0;
  };
  const go = (index) => {
    const cell = cells[Math.min(Math.max(0, index), cells.length - 1)];
    choose(cell);
    cell.focus();
    cell.scrollIntoView({ block: "nearest" });
    showTip(cell);
  };
  const otherMonth = (cell, step) => {
    let index = place.get(cell);
    while (cells[index + step] && month(cells[index]) === month(cell)) index += step;
    const there = month(cells[index]);
    const same = cells.findIndex((one) => one.id === there + cell.id.slice(8));
    if (same >= 0) return same;
    // A shorter month: its last day.
    while (cells[index + 1] && month(cells[index + 1]) === there) index += 1;
    return index;
  };
  const edgeOfMonth = (cell, step) => {
    let index = place.get(cell);
    while (cells[index + step] && month(cells[index + step]) === month(cell)) index += step;
    return index;
  };
  const moves = {
    ArrowUp: (cell) => place.get(cell) - 1,
    ArrowDown: (cell) => place.get(cell) + 1,
    ArrowLeft: (cell) => place.get(cell) - 7,
    ArrowRight: (cell) => place.get(cell) + 7,
    PageUp: (cell) => otherMonth(cell, -1),
    PageDown: (cell) => otherMonth(cell, 1),
    Home: (cell, whole) => (whole ? 0 : edgeOfMonth(cell, -1)),
    End: (cell, whole) => (whole ? cells.length - 1 : edgeOfMonth(cell, 1)),
  };
  const isUnequal = (cell) => ["differing", "missing", "in-flight"].some((state) => cell.classList.contains(state));
  if (cells.length) {
    choose(cells.find(isUnequal) || cells[cells.length - 1]);
    byId("keys").hidden = false;
    const cellOf = (event) => (event.target instanceof Element ? event.target.closest(".month td[id]") : null);
    document.addEventListener("mouseover", (event) => { const cell = cellOf(event); if (cell) showTip(cell); else if (event.target !== tip) hideTip(); });
    document.addEventListener("focusin", (event) => { const cell = cellOf(event); if (cell) { choose(cell); showTip(cell); } else hideTip(); });
    document.addEventListener("focusout", hideTip);
    document.addEventListener("scroll", () => {
      // The tip goes along with its cell.
      const at = tipped && tipped.getBoundingClientRect();
      if (at && at.bottom > 0 && at.top < innerHeight) showTip(tipped); else hideTip();
    }, { passive: true });
    document.addEventListener("click", (event) => { const cell = cellOf(event); if (cell) go(place.get(cell)); });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hideTip();
      const cell = cellOf(event);
      if (!cell || event.altKey || event.metaKey) return;
      if (event.key === "Enter" && isUnequal(cell)) showDifferencesOf(cell);
      const move = moves[event.key];
      if (!move || (event.ctrlKey && event.key !== "Home" && event.key !== "End")) return;
      event.preventDefault();
      go(move(cell, event.ctrlKey));
    });
    const next = byId("next-unequal");
    next.hidden = !cells.some(isUnequal);
    let visited = -1;
    next.addEventListener("click", () => {
      const unequal = cells.filter(isUnequal);
      go(place.get(unequal.find((cell) => place.get(cell) > visited) || unequal[0]));
      visited = place.get(current);
    });
    const follow = () => { const cell = location.hash && byId(location.hash.slice(1)); if (place.has(cell)) go(place.get(cell)); };
    window.addEventListener("hashchange", follow);
    follow();
  }

  // The table of differences.
  const filter = byId("filter");
  const rows = [...document.querySelectorAll("#differences-table tbody tr")];
  const nameOf = (row) => row.firstElementChild.textContent;
  const apply = () => {
    const wanted = byId("filter-name").value;
    const verdicts = new Set([...filter.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
    let shown = 0;
    for (const row of rows) {
      row.hidden = !(verdicts.has(row.dataset.verdict) && nameOf(row).includes(wanted));
      if (!row.hidden) shown += 1;
    }
    byId("filter-count").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
  };
  const showDifferencesOf = (cell) => {
    if (!filter) return;
    filter.reset();
    byId("filter-name").value = cell.id.slice(1).replaceAll("-", "");
    apply();
    byId("filter-name").focus();
    byId("differences").scrollIntoView();
  };
  if (filter) {
    filter.hidden = false;
    filter.addEventListener("input", apply);
    filter.addEventListener("submit", (event) => event.preventDefault());
    filter.addEventListener("reset", () => setTimeout(apply));
    apply();
    const keys = { name: nameOf, verdict: (row) => row.dataset.verdict };
    for (const head of document.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.textContent = head.textContent;
      head.textContent = "";
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of document.querySelectorAll("th[data-sort]")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = keys[head.dataset.sort];
        const sorted = rows.map((row) => [key(row), row]).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
        if (down) sorted.reverse();
        rows[0].parentNode.append(...sorted.map(([, row]) => row));
        say(`Sorted by ${button.textContent.toLowerCase()}, ${down ? "descending" : "ascending"}`);
      });
    }
  }

  // Copying.
  for (const button of document.querySelectorAll("[data-copy]")) {
    const code = byId(button.dataset.copy);
    button.hidden = false;
    button.setAttribute("aria-label", `Copy ${code.textContent}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        say("Copied");
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      } catch {
        getSelection().selectAllChildren(code);
        say("Selected; copy it with the keyboard");
      }
    });
  }
})();
