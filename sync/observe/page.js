// Shows the page anew without losing what is open or being read. Without it the
// browser loads the page again by itself.
"use strict";
const every = Number(document.body.dataset.refresh) * 1000;

async function refresh() {
	const stale = document.getElementById("stale");
	if (document.hidden || document.activeElement.matches("input") || String(getSelection())) return;
	try {
		const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(every) });
		if (!answer.ok) throw new Error("HTTP " + answer.status);
		const page = new DOMParser().parseFromString(await answer.text(), "text/html");
		const open = new Map();
		for (const d of document.querySelectorAll("details")) open.set(d.dataset.key, d.open);
		for (const d of page.querySelectorAll("details")) d.open = open.get(d.dataset.key) ?? d.open;
		document.querySelector("main").replaceWith(page.querySelector("main"));
		document.title = page.title;
		stale.hidden = true;
	} catch {
		stale.hidden = false;
	}
}

setInterval(refresh, every);
document.addEventListener("visibilitychange", refresh);
