// Shows the page anew without losing what is open or being read. Without it the
// browser loads the page again by itself.
"use strict";
const every = Number(document.body.dataset.refresh) * 1000;
let edition = "";

async function refresh() {
	const old = document.getElementById("old");
	if (document.hidden || document.activeElement.matches("input") || String(getSelection())) return;
	try {
		const answer = await fetch(location.href, {
			cache: "no-store", headers: { "If-None-Match": edition }, signal: AbortSignal.timeout(every),
		});
		if (answer.status !== 304) {
			if (!answer.ok) throw new Error("HTTP " + answer.status);
			const page = new DOMParser().parseFromString(await answer.text(), "text/html");
			const open = new Map();
			for (const d of document.querySelectorAll("details")) open.set(d.dataset.key, d.open);
			for (const d of page.querySelectorAll("details")) d.open = open.get(d.dataset.key) ?? d.open;
			document.querySelector("main").replaceWith(page.querySelector("main"));
			document.title = page.title;
			edition = answer.headers.get("ETag");
		}
		old.hidden = true;
	} catch {
		old.hidden = false;
	}
}

setInterval(refresh, every);
document.addEventListener("visibilitychange", refresh);
